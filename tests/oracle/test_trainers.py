"""TRL 1.16's trainers as oracles: from the same weights, token ids and masks, the same losses, gradients and course.

A TRL trainer runs by itself and notes what its own collator gave it; token trees are built from those ids and masks.
Where TRL's defaults would part the two, they are set alike: full precision, no activation checkpointing, no warm-up,
rows in their order, a pair weighing as much as any other.
"""

import copy
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
import torch
from datasets import Dataset, disable_progress_bars
from oracle.fused_head import head_in_full
from torch import Tensor
from transformers import AutoModelForCausalLM, AutoModelForSequenceClassification, AutoTokenizer, PreTrainedModel
from trl import DPOConfig as TRLDPOConfig
from trl import DPOTrainer, RewardTrainer, SFTTrainer
from trl import RewardConfig as TRLRewardConfig
from trl import SFTConfig as TRLSFTConfig

from burnish.batch.pack import micro_batches
from burnish.methods.dpo import DPOConfig, dpo_loss
from burnish.methods.reward import RewardConfig, order_loss
from burnish.methods.sft import SFTConfig, next_token_loss
from burnish.models.model import Model, Policy, Scorer
from burnish.training.config import MethodConfig
from burnish.training.update import Loss, Update
from burnish.types import Branch, Tree

disable_progress_bars()

STEPS, BATCH, LONGEST = 20, 4, 96
PARTS = 150  # tokens of a micro-batch: a batch of four rows becomes two to four of them

# TRL's DPO trainer reads attributes that transformers 5.24 has renamed
pytestmark = pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning")


# ---- rows: the middle answer of a batch is so long that TRL cuts it, and it has no end token


def sentences() -> Iterable[tuple[str, str, str]]:
    """A prompt and two answers, no two rows of one length."""
    animals = ("a cat", "an old horse", "the crow", "two very small frogs", "a whale")
    for row in range(STEPS * BATCH):
        animal = animals[row % len(animals)]
        long = " and then it slept" * (6 if row % 7 == 3 else row % 3)
        yield (
            f"Question {row}: what did {animal} do{'?' * (row % 4 + 1)} Answer:",
            f" {animal} sat by the river{long}.",
            f" nobody knows what {animal} does{' at night' * (row % 4)}",
        )


def rows_of(*columns: str) -> Dataset:
    return Dataset.from_list([dict(zip(columns, row, strict=False)) for row in sentences()])


# ---- what TRL did


@dataclass
class Step:
    batch: dict[str, Tensor]
    loss: float
    gradients: dict[str, Tensor]


class Notes:
    """Mixed into a TRL trainer: keeps what each step was given, its loss, and its gradients before they are clipped."""

    def training_step(self, model: Any, inputs: dict[str, Tensor], *rest: Any, **options: Any) -> Tensor:
        batch = {name: value.clone() for name, value in inputs.items()}
        loss = super().training_step(model, inputs, *rest, **options)  # type: ignore[misc]  # the trainer's own
        gradients = {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}
        self.__dict__.setdefault("notes", []).append(Step(batch, loss.item(), gradients))
        return loss


@dataclass(frozen=True)
class Method:
    """One method on both sides. `trees` makes TRL's batch ours; `loss` needs (learner, config, reference table)."""

    trainer: type
    trainer_config: type
    rows: Callable[[], Dataset]
    trees: Callable[[Mapping[str, Tensor]], list[Tree]]
    learner: type[Model]
    config: type[MethodConfig]
    loss: Callable[[Any, Any, Any], Loss]
    own: Mapping[str, Any] = field(default_factory=dict)
    trainers_own: Mapping[str, Any] = field(default_factory=dict)
    other_reference: bool = False


def demonstrations(batch: Mapping[str, Tensor]) -> list[Tree]:
    """A tree a row: the prompt ends before the first token that has a label."""
    trees = []
    for index, (ids, labels, seen) in enumerate(
        zip(batch["input_ids"], batch["labels"], batch["attention_mask"], strict=True)
    ):
        size = int(seen.sum())
        token, learned = ids[:size].tolist(), (labels[:size] != -100).tolist()
        learned[0] = False  # nothing predicts a row's first token, whatever its label is
        start = learned.index(True) if labels[0] == -100 else 0
        trees.append(Tree(tuple(token[:start]), (Branch(tuple(token[start:]), tuple(learned[start:])),), group=index))
    return trees


def completions(batch: Mapping[str, Tensor]) -> list[Tree]:
    """A tree a pair: TRL's rows are the chosen ones, then the rejected ones, with a mask of the completion."""
    return _pairs(batch, lambda chosen, rejected, mask: mask.index(1))


def scored(batch: Mapping[str, Tensor]) -> list[Tree]:
    """A tree a pair of whole texts, parted where they first differ, at the latest before a last token."""

    def parting(chosen: list[int], rejected: list[int], _: list[int]) -> int:
        shared = min(len(chosen), len(rejected)) - 1
        return next((i for i in range(shared) if chosen[i] != rejected[i]), shared)

    return _pairs(batch, parting)


def scored_apart(batch: Mapping[str, Tensor]) -> list[Tree]:
    """The same, with scores that lie TRL's margin apart."""
    trees = scored(batch)
    apart = ((batch["margin"][row].item(), 0.0) for row in range(len(trees)))
    return [
        replace(tree, branches=tuple(replace(b, score=s) for b, s in zip(tree.branches, scores, strict=True)))
        for tree, scores in zip(trees, apart, strict=True)
    ]


def _pairs(batch: Mapping[str, Tensor], parting: Callable[[list[int], list[int], list[int]], int]) -> list[Tree]:
    size_N = batch["attention_mask"].sum(1).tolist()
    token = [ids[:size].tolist() for ids, size in zip(batch["input_ids"], size_N, strict=True)]
    mask_NS = batch.get("completion_mask", batch["attention_mask"])
    half = len(token) // 2
    trees = []
    for row in range(half):
        start = parting(token[row], token[half + row], mask_NS[row].tolist())
        branches = (
            Branch(tuple(own[start:]), (True,) * (len(own) - start), place=place, answer=place)
            for place, own in enumerate((token[row], token[half + row]))
        )
        trees.append(Tree(tuple(token[row][:start]), tuple(branches), group=row))
    return trees


def _dpo(own: Mapping[str, Any] | None = None, **options: Any) -> Method:
    return Method(
        DPOTrainer,
        TRLDPOConfig,
        lambda: rows_of("prompt", "chosen", "rejected"),
        completions,
        Policy,
        DPOConfig,
        lambda policy, config, reference: dpo_loss(policy, reference, config),
        own={"weight": "pair", "beta": 0.3, **(own or {})},
        **options,
    )


METHODS = {
    "sft": Method(
        SFTTrainer,
        TRLSFTConfig,
        lambda: rows_of("prompt", "completion"),
        demonstrations,
        Policy,
        SFTConfig,
        lambda policy, config, reference: next_token_loss(policy),
    ),
    "reward": Method(
        RewardTrainer,
        TRLRewardConfig,
        lambda: rows_of("prompt", "chosen", "rejected"),
        scored,
        Scorer,
        RewardConfig,
        lambda scorer, config, reference: order_loss(scorer, config),
        own={"weight": "pair"},
    ),
    "reward, with margins and centred": Method(
        RewardTrainer,
        TRLRewardConfig,
        lambda: rows_of("prompt", "chosen", "rejected").map(
            lambda row, number: {"margin": 2.0 * (number % 3)}, with_indices=True
        ),
        scored_apart,
        Scorer,
        RewardConfig,
        lambda scorer, config, reference: order_loss(scorer, config),
        own={"weight": "pair", "margin": "scores", "centre": 0.3},
        trainers_own={"center_rewards_coefficient": 0.3},
    ),
    "dpo, its start as reference": _dpo(trainers_own={"beta": 0.3, "precompute_ref_log_probs": True}),
    "dpo, another reference": _dpo(trainers_own={"beta": 0.3}, other_reference=True),
    "ipo a token, another reference": _dpo(
        own={"loss": "ipo", "length": "mean"},
        trainers_own={"beta": 0.3, "loss_type": ["ipo"]},
        other_reference=True,
    ),
}


# ---- both sides from one start


@dataclass
class Oracle:
    """A TRL run: the weights that it started from, its reference, its steps."""

    start: PreTrainedModel
    reference: PreTrainedModel
    steps: list[Step]


def start_of(method: Method, directory: Path, dtype: torch.dtype) -> tuple[PreTrainedModel, PreTrainedModel]:
    """The model that both sides begin with, and their reference."""
    if method.learner is Scorer:
        model = AutoModelForSequenceClassification.from_pretrained(directory, num_labels=1, dtype=dtype)
        draw = torch.Generator().manual_seed(0)
        model.score.weight.data.normal_(0, 0.5, generator=draw)
        return model, model
    model = AutoModelForCausalLM.from_pretrained(directory, dtype=dtype)
    reference = copy.deepcopy(model)
    if method.other_reference:
        draw = torch.Generator().manual_seed(1)
        for parameter in reference.parameters():
            parameter.data += 0.03 * torch.randn(parameter.shape, generator=draw, dtype=torch.float64).to(dtype)
    return model, reference


def run_trl(method: Method, directory: Path, out: Path, dtype: torch.dtype, steps: int) -> Oracle:
    start, reference = start_of(method, directory, dtype)
    arguments = method.trainer_config(
        output_dir=str(out),
        per_device_train_batch_size=BATCH,
        max_steps=steps,
        max_length=LONGEST if method.learner is Policy else None,  # its reward trainer leaves out what is longer
        train_sampling_strategy="sequential",
        learning_rate=2e-3,
        lr_scheduler_type="linear",
        weight_decay=0.1,
        max_grad_norm=0.5,
        bf16=False,
        activation_checkpointing=False,
        use_cpu=True,
        save_strategy="no",
        report_to="none",
        disable_tqdm=True,
        **method.trainers_own,
    )
    given = {"ref_model": copy.deepcopy(reference)} if method.other_reference else {}
    with pytest.MonkeyPatch.context() as patch:
        if dtype == torch.float64:
            patch.setattr("trl.trainer.sft_trainer.add_fused_lm_head", head_in_full)
            patch.setattr("trl.trainer.dpo_trainer.add_fused_lm_head", head_in_full)
        trainer = type("Noted", (Notes, method.trainer), {})(
            model=copy.deepcopy(start),
            args=arguments,
            train_dataset=method.rows(),
            processing_class=AutoTokenizer.from_pretrained(directory),
            **given,
        )
    trainer.train()
    return Oracle(start, reference, trainer.notes)


@pytest.fixture(scope="module")
def trl(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str, torch.dtype], Oracle]:
    """TRL's run of a method: twenty steps in float32, one in float64. Each is made once."""
    made: dict[tuple[str, torch.dtype], Oracle] = {}

    def of(name: str, dtype: torch.dtype) -> Oracle:
        if (name, dtype) not in made:
            steps = STEPS if dtype == torch.float32 else 1
            made[name, dtype] = run_trl(METHODS[name], tiny_model, tmp_path_factory.mktemp("trl"), dtype, steps)
        return made[name, dtype]

    return of


def ours(name: str, oracle: Oracle, *, padded_because: str = "", **settings: Any) -> tuple[Update, list[float]]:
    """Our losses over the batches of TRL's run, with the settings of that run unless others are given."""
    method = METHODS[name]
    config = method.config(
        learning_rate=2e-3,
        schedule="linear",
        weight_decay=0.1,
        max_grad_norm=settings.pop("max_grad_norm", 0.5),
        micro_batch_tokens=PARTS,
        **method.own,
    )
    learner = method.learner(copy.deepcopy(oracle.start), None, padded_because=padded_because)  # no text is read
    steps = [
        [Tree(tree.prompt, tree.branches, group=number * BATCH + tree.group) for tree in method.trees(step.batch)]
        for number, step in enumerate(oracle.steps[: settings.pop("steps", STEPS)])
    ]
    reference = {}
    if method.learner is Policy:
        anchor = Policy(copy.deepcopy(oracle.reference), None)
        table = anchor.frozen_logprobs([tree for trees in steps for tree in trees], PARTS)
        reference = {key: logprob_L.sum().reshape(1) for key, logprob_L in table.items()}
    loss = method.loss(learner, config, reference)
    update = Update(learner, config)
    whole = name != "sft"
    losses = [update(trees, loss, step=number, steps=STEPS, whole=whole)["loss"] for number, trees in enumerate(steps)]
    return update, losses


def gap(ours: Tensor, theirs: Tensor) -> float:
    """‖a - b‖ / ‖b‖."""
    return (torch.linalg.vector_norm(ours - theirs) / torch.linalg.vector_norm(theirs)).item()


# ---- the claims


@pytest.mark.parametrize("name", METHODS)
def test_twenty_steps_give_trl_s_twenty_losses(name, trl):
    oracle = trl(name, torch.float32)
    theirs = [step.loss for step in oracle.steps]
    assert len(theirs) == STEPS
    assert abs(theirs[-1] - theirs[0]) > 0.05 * theirs[0]  # a model that did not move would prove nothing
    _, losses = ours(name, oracle)
    assert losses == pytest.approx(theirs, rel=1e-4)


@pytest.mark.parametrize("name", METHODS)
@pytest.mark.parametrize(
    ("dtype", "of_loss", "of_gradient"), [(torch.float64, 1e-6, 1e-6), (torch.float32, 1e-5, 1e-4)]
)
def test_loss_and_gradients_equal_trl_s(name, dtype, of_loss, of_gradient, trl):
    oracle = trl(name, dtype)
    update, (loss,) = ours(name, oracle, steps=1, max_grad_norm=0)
    first = oracle.steps[0]
    assert loss == pytest.approx(first.loss, rel=of_loss)
    gradients = {n: p.grad for n, p in update.parameters.items()}
    assert gradients.keys() == first.gradients.keys()
    together = [torch.cat([side[n].reshape(-1) for n in gradients]) for side in (gradients, first.gradients)]
    assert gap(*together) <= of_gradient
    assert max(gap(gradients[n], first.gradients[n]) for n in gradients) <= 10 * of_gradient  # nor in any one matrix


@pytest.mark.parametrize("name", METHODS)
def test_the_padded_path_gives_trl_s_loss(name, trl):
    oracle = trl(name, torch.float64)
    _, (loss,) = ours(name, oracle, padded_because="asked for", steps=1)
    assert loss == pytest.approx(oracle.steps[0].loss, rel=1e-6)


def test_rows_are_cut_and_batches_are_split(trl):
    """Else the claims above would be about less than they seem: TRL cut an answer, and our batches have parts."""
    rows = [tree for step in trl("sft", torch.float32).steps for tree in demonstrations(step.batch)]
    assert any(tree.size == LONGEST and tree.branches[0].tokens[-1] != 256 for tree in rows)
    assert all(len(micro_batches(rows[i : i + BATCH], PARTS, whole=True)) > 1 for i in range(0, len(rows), BATCH))


def test_a_text_without_prompt_gives_trl_s_loss(tiny_model, tmp_path):
    method = METHODS["sft"]
    texts = Method(**{**vars(method), "rows": lambda: rows_of("text")})
    oracle = run_trl(texts, tiny_model, tmp_path, torch.float64, 1)
    assert demonstrations(oracle.steps[0].batch)[0].prompt == ()
    _, (loss,) = ours("sft", oracle, steps=1)
    assert loss == pytest.approx(oracle.steps[0].loss, rel=1e-6)
