"""LoRA through peft: the model stays in place, adapters are added to its layers, and one at a time or none is at work.

Several models may so be one copy of the weights and an adapter each: see one_base.py.
"""

import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor

from burnish.errors import ConfigError

if TYPE_CHECKING:
    from peft import LoraConfig, PeftModel
    from transformers import PreTrainedModel

_NAMED = re.compile(r"(\.lora_[^.]+)\.([^.]+)")  # `….lora_A.reward.weight`, `….lora_embedding_A.reward`


class Lora(BaseModel):
    """Low-rank adapters (Hu et al. 2021): W + (alpha / rank) · B·A, with B zero at the start."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    rank: int = Field(16, ge=1, description="rank of the update of each adapted matrix")
    alpha: float = Field(32.0, gt=0, description="the update is scaled by alpha / rank")
    dropout: float = Field(0.0, ge=0, lt=1, description="dropout before the adapter")
    targets: str | tuple[str, ...] = Field(
        "all-linear", description="names of the layers to adapt, or all-linear: every linear layer but the output"
    )


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Draw from `seed` inside, and leave the random numbers outside as they were."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        yield


@contextmanager
def _drawing(seed: int, lora: Lora) -> Iterator[None]:
    """Where peft puts fresh matrices into a model. Raises ConfigError for targets that it does not have."""
    with seeded(seed), warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # peft asks transformers by a name that v6 drops
        warnings.filterwarnings("ignore", "fan_in_fan_out is set to False")  # GPT-2's layers are transposed: it sees so
        try:
            yield
        except ValueError as error:  # its message lists what it found
            raise ConfigError(f"lora.targets: {lora.targets}: {error}") from error


@dataclass(frozen=True)
class Adapter:
    """The adapter of one model. `peft` has this one and those of the models that share the base with it.

    A `frozen` one learns nothing. What each of several adapters is to compute is said before every pass (`put_on`);
    between a pass and its way back no other may be put on, for activation checkpointing computes the pass again.
    """

    peft: "PeftModel"
    name: str = "default"
    frozen: bool = False

    def put_on(self) -> None:
        """Let this adapter be the one at work."""
        if self.peft.active_adapter != self.name:
            self.peft.set_adapter(self.name, inference_mode=self.frozen)

    @contextmanager
    def off(self) -> Iterator[None]:
        """The base alone."""
        with self.peft.disable_adapter():
            yield

    def foreign(self, name: str) -> bool:
        """Is a weight of this name another model's adapter?"""
        found = _NAMED.search(name)
        return found is not None and found[2] != self.name

    def weights(self) -> dict[str, Tensor]:
        """Its matrices by the names that they have in a file, where an adapter has none."""
        named = ((name, p, _NAMED.search(name)) for name, p in self.peft.named_parameters())
        return {_NAMED.sub(r"\1", name): p for name, p, found in named if found is not None and found[2] == self.name}

    def beside(self, name: str, lora: Lora, *, seed: int = 0, frozen: bool = False) -> "Adapter":
        """A fresh adapter on the same base, drawn from `seed`."""
        with _drawing(seed, lora):
            self.peft.add_adapter(name, lora_config(lora, "CAUSAL_LM"))
        return Adapter(self.peft, name, frozen)

    @property
    def lora(self) -> Lora:
        """What it was made by, its layers by their names."""
        config: Any = self.peft.peft_config[self.name]
        targets = config.target_modules if isinstance(config.target_modules, str) else tuple(config.target_modules)
        return Lora(rank=config.r, alpha=config.lora_alpha, dropout=config.lora_dropout, targets=targets)

    def drop_others(self) -> None:
        """Take the adapters of other models off the base."""
        self.put_on()
        for name in [name for name in self.peft.peft_config if name != self.name]:
            self.peft.delete_adapter(name)

    def save(self, folder: Path) -> None:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Setting `save_embedding_layers`")  # it has a pad token's row more: meant
            self.peft.save_pretrained(str(folder), selected_adapters=[self.name])


def lora_config(lora: Lora, task: str) -> "LoraConfig":
    """peft's settings for a fresh adapter; with `task` SEQ_CLS a head named `score` is trained whole beside it."""
    from peft import LoraConfig  # 6 seconds of import that only adapters need

    return LoraConfig(
        r=lora.rank,
        lora_alpha=lora.alpha,  # type: ignore[arg-type]  # peft says int and only ever divides it
        lora_dropout=lora.dropout,
        target_modules=lora.targets if isinstance(lora.targets, str) else list(lora.targets),
        task_type=task,
    )


def added_adapter(model: "PreTrainedModel", lora: Lora, *, seed: int = 0) -> Adapter:
    """A fresh adapter, which is added to `model` in place and drawn from `seed`.

    Everything else is frozen; a scorer's head stays trainable.
    """
    from peft import get_peft_model
    from peft.tuners.tuners_utils import BaseTunerLayer

    config = lora_config(lora, "SEQ_CLS" if hasattr(model, "score") else "CAUSAL_LM")
    with _drawing(seed, lora):
        peft = get_peft_model(model, config)
    if isinstance(model.get_output_embeddings(), BaseTunerLayer):
        raise ConfigError(f"lora.targets: {lora.targets}: the output layer has no adapter; leave it out of the targets")
    return Adapter(peft)


def merged_weights(model: "PreTrainedModel", adapter: Adapter) -> dict[str, Tensor]:
    """The weights that a model without adapter would need to give the same outputs: see `merged`."""
    return dict(merged(model, adapter))


def merged(model: "PreTrainedModel", adapter: Adapter) -> Iterator[tuple[str, Tensor]]:
    """Name and weight, one after the other: W + (alpha / rank) · B·A where `adapter` acts, else W.

    The model is left as it is: what peft merges in place it cannot take out again exactly.
    """
    adapter.put_on()
    layers = dict(model.named_modules())
    for name, value in model.state_dict().items():
        if re.search(r"\.(lora_[^.]+|original_module)\.", name):
            continue
        plain = name.replace(".base_layer.", ".")
        plain = re.sub(r"\.modules_to_save\.[^.]+", "", plain)  # a layer that is trained whole, beside its original
        path, _, last = plain.rpartition(".")
        adapted = adapted_weight(layers[path]) if last == "weight" and path in layers else None
        yield plain, value if adapted is None else adapted


def adapted_weight(layer: torch.nn.Module) -> Tensor | None:
    """The weight W + (alpha / rank) · B·A that an adapted layer multiplies by now; None where it is no such layer."""
    from peft.tuners.tuners_utils import BaseTunerLayer

    if not isinstance(layer, BaseTunerLayer):
        return None
    adapted: Any = layer
    weight: Tensor = adapted.get_base_layer().weight
    acting = [name for name in adapted.active_adapters if name in adapted.lora_A or name in adapted.lora_embedding_A]
    if adapted.disable_adapters or not acting:  # where none acts, another model's adapter may
        return weight
    update = sum((adapted.get_delta_weight(name) for name in acting), torch.zeros_like(weight))
    return weight + update.to(weight.dtype)
