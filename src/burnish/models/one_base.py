"""Policy, reward models, critic and reference as one copy of the weights: each of the first three has an adapter on it.

    policy = W + Δ_policy        reward, critic = W + Δ_reward, W + Δ_critic, each with a head        reference = W

A reward model was trained with `lora` on the model that the policy starts from, so what it lies on is in memory
already. It is saved merged, W + Δ, and beside that its adapter, Δ. That the two belong together, and to this very W, is
not taken from what a file says of itself: every weight of the merged model is held against W + Δ.
"""

from copy import deepcopy
from pathlib import Path

import torch
from pydantic import ValidationError
from safetensors import safe_open
from safetensors.torch import load_file
from torch import Tensor
from transformers import (
    AutoConfig,
    AutoModelForSequenceClassification,
    AutoTokenizer,
    PreTrainedConfig,
    PreTrainedTokenizerBase,
)

from burnish.errors import ConfigError, DataError
from burnish.models.adapters import Adapter, Lora, merged
from burnish.models.files import check_safetensors, json_object, model_directory
from burnish.models.load import naming, require_reward_head
from burnish.models.model import Model, Policy, Scorer
from burnish.models.padding import same_tokens

INSTEAD = (
    "With critic.kind: adapter every reward model lies on the policy's weights: train it with `lora: {rank: 16}` on "
    "the model that PPO starts from, or write critic: {kind: shared} or {kind: separate}, which take any reward model"
)


def adapter_folder(folder: str | Path) -> Path:
    """Where the adapter lies of the reward model in `folder`. Raises ConfigError where it has none."""
    beside = model_directory(folder).parent / "adapter"
    if not all((beside / name).is_file() for name in ("adapter_config.json", "adapter_model.safetensors")):
        raise ConfigError(f"by: {folder}: a whole model, with no adapter beside it in {beside}. {INSTEAD}")
    return beside


def scorer_on(policy: Policy, folder: str | Path) -> Scorer:
    """The reward model in `folder`, frozen, as an adapter on the weights that `policy` came in with.

    Raises ConfigError where it has no adapter, other tokens than the policy, or was trained from another model;
    DataError for files that are damaged.
    """
    files = adapter_folder(folder)
    require_reward_head(folder)
    folder = model_directory(folder)
    with naming(folder):
        config = AutoConfig.from_pretrained(folder, trust_remote_code=False)
        tokenizer = AutoTokenizer.from_pretrained(folder, trust_remote_code=False)
    if not same_tokens(policy.tokenizer, tokenizer):
        raise ConfigError(f"by: {folder}: its tokenizer is not the policy's. {INSTEAD}")
    taken = _adapter(policy).peft.peft_config
    own = _adapter(policy).beside(f"reward{len(taken)}", _lora(files / "adapter_config.json"), frozen=True)
    _fill(own, files / "adapter_model.safetensors", folder)
    scorer = _scorer(policy, config, tokenizer, own, source=str(folder))
    _fill_head(scorer, folder)
    _check_base(scorer, folder)
    scorer.head.requires_grad_(False)
    return scorer


@torch.no_grad()
def critic_on(policy: Policy, like: Scorer | None) -> Scorer:
    """What learns to predict the score, as an adapter on the weights that `policy` came in with.

    It starts as a copy of `like`, one of `scorer_on`'s; without one as a fresh adapter, with a head that says 0.
    """
    of_policy = _adapter(policy)
    if like is None:
        config = deepcopy(policy.model.config)
        config.num_labels = 1
        critic = _scorer(
            policy, config, policy.tokenizer, of_policy.beside("critic", of_policy.lora), source=policy.source
        )
        torch.nn.init.zeros_(critic.head.weight)
        return critic
    source = _adapter(like)
    lora = source.lora.model_copy(update={"dropout": of_policy.lora.dropout})
    own = of_policy.beside("critic", lora)
    critic = _scorer(policy, deepcopy(like.model.config), like.tokenizer, own, source=like.source)
    given = source.weights()
    for name, weight in own.weights().items():
        weight.copy_(given[name])
    critic.head.load_state_dict(like.head.state_dict())
    return critic


def clear(policy: Policy) -> None:
    """Take a run's reward models and critic off the policy's weights. Raises ConfigError where it has no adapter."""
    _adapter(policy).drop_others()


def _adapter(model: Model) -> Adapter:
    if model.adapter is None:
        raise ConfigError(
            f"{model.source}: critic.kind: adapter puts adapters on the policy's weights, and it has none of its own; "
            "load it with `lora`"
        )
    return model.adapter


def _scorer(
    policy: Policy, config: PreTrainedConfig, tokenizer: PreTrainedTokenizerBase, adapter: Adapter, *, source: str
) -> Scorer:
    """transformers' sequence classifier around the policy's own trunk. What its head says is still to be filled in."""
    trunk = policy.model.base_model
    with naming(source), torch.device("meta"):  # the trunk that it brings takes no memory
        model = AutoModelForSequenceClassification.from_config(
            config, dtype=policy.model.dtype, attn_implementation=policy.stock_attention, trust_remote_code=False
        )
    head = getattr(model, "score", None)
    if type(model.base_model) is not type(trunk) or not isinstance(head, torch.nn.Linear):
        raise ConfigError(
            f"by: {source}: a {type(model).__name__} has no linear `score` head on a {type(trunk).__name__}, which the "
            f"policy is. {INSTEAD}"
        )
    setattr(model, model.base_model_prefix, trunk)
    model.score = head.to_empty(device=policy.device)
    scorer = Scorer(model, tokenizer, padded_because=policy.padded_because, flex=policy.flex, source=source)
    scorer.adapter = adapter
    model.eval()
    return scorer


def _lora(file: Path) -> Lora:
    """By what an adapter was made. Whatever else its settings say would show when the weights are compared."""
    told = json_object(file)
    targets = told.get("target_modules")
    try:
        return Lora(
            rank=told.get("r"),
            alpha=told.get("lora_alpha"),
            targets=tuple(targets) if isinstance(targets, list) else targets,
        )
    except ValidationError as error:
        raise DataError(f"{file}: not the settings of a LoRA adapter: {error.errors()[0]['msg']}") from error


@torch.no_grad()
def _fill(adapter: Adapter, file: Path, folder: Path) -> None:
    """Read the matrices of an adapter. Raises ConfigError where they are of other layers or shapes."""
    check_safetensors(file)
    saved = {name: value for name, value in load_file(file).items() if ".lora_" in name}
    wanted = adapter.weights()
    for name in sorted(saved.keys() | wanted.keys()):
        if name not in saved or name not in wanted or saved[name].shape != wanted[name].shape:
            raise ConfigError(f"by: {folder}: {file}: {name} is not what fits the policy's layers. {INSTEAD}")
        wanted[name].copy_(saved[name])


@torch.no_grad()
def _fill_head(scorer: Scorer, folder: Path) -> None:
    files = _saved(folder)
    for name, weight in scorer.head.named_parameters(prefix="score"):
        saved = _tensor(files[name], name) if name in files else weight.new_zeros(0)
        if saved.shape != weight.shape:
            raise ConfigError(f"by: {folder}: its {name} does not fit on the policy's hidden states. {INSTEAD}")
        weight.copy_(saved)


@torch.no_grad()
def _check_base(scorer: Scorer, folder: Path) -> None:
    """Raise ConfigError unless the reward model saved in `folder` is W + Δ within rounding, with nothing beside it.

    A tensor at a time, so that no second model is in memory. A row that its embedding has more is its pad token's.
    """
    files = _saved(folder)
    embedding = scorer.trunk.get_input_embeddings().weight
    of_embedding = {name for name, weight in scorer.model.named_parameters() if weight is embedding}
    for name, ours in merged(scorer.model, _adapter(scorer)):
        file = files.pop(name, None)
        theirs = _tensor(file, name) if file is not None else ours.new_zeros(0)
        if name in of_embedding:
            theirs = theirs[: len(ours)]
        if theirs.shape != ours.shape:
            raise ConfigError(f"by: {folder}: {name} is not what the policy has in its place. {INSTEAD}")
        limit = max(torch.finfo(weight.dtype).eps for weight in (ours, theirs))
        if not (off := _apart(ours, theirs)) <= limit:  # NaN is refused
            raise ConfigError(
                f"by: {folder}: it was trained from another model than PPO starts from: {name} is not the policy's "
                f"weight with the adapter beside it, but {off:.2g} of its length away (at most {limit:.2g} is "
                f"rounding). {INSTEAD}"
            )
    if files:
        raise ConfigError(f"by: {folder}: it has {min(files)}, which the policy has not. {INSTEAD}")


def _saved(folder: Path) -> dict[str, Path]:
    """In which file each tensor of a model lies."""
    return {name: file for file in sorted(folder.glob("*.safetensors")) for name in _names(file)}


def _names(file: Path) -> list[str]:
    with safe_open(file, "pt") as opened:
        return list(opened.keys())


def _tensor(file: Path, name: str) -> Tensor:
    with safe_open(file, "pt") as opened:  # anew for each: what is read stays in memory as long as the file is open
        tensor: Tensor = opened.get_tensor(name)
    return tensor


def _apart(ours: Tensor, theirs: Tensor) -> float:
    """‖a - b‖ / ‖b‖, computed in float32 at least."""
    wide = torch.promote_types(torch.promote_types(ours.dtype, theirs.dtype), torch.float32)
    ours, theirs = ours.to(wide), theirs.to(ours.device, wide)
    return float((ours - theirs).norm() / theirs.norm().clamp(min=torch.finfo(wide).tiny))
