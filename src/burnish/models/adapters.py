"""LoRA through peft: the model stays in place, an adapter is added to its layers and can be switched off."""

import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor
from transformers import PreTrainedModel

from burnish.errors import ConfigError

if TYPE_CHECKING:
    from peft import PeftMixedModel, PeftModel


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


def added_adapter(model: PreTrainedModel, lora: Lora, *, seed: int = 0) -> "PeftModel | PeftMixedModel":
    """What switches and saves a fresh adapter, which is added to `model` in place and drawn from `seed`.

    Everything else is frozen; a scorer's head stays trainable.
    """
    from peft import LoraConfig, get_peft_model  # 6 seconds of import that only adapters need
    from peft.tuners.tuners_utils import BaseTunerLayer

    kind = "SEQ_CLS" if hasattr(model, "score") else "CAUSAL_LM"
    targets = lora.targets if isinstance(lora.targets, str) else list(lora.targets)
    config = LoraConfig(
        r=lora.rank,
        lora_alpha=lora.alpha,  # type: ignore[arg-type]  # peft says int and only ever divides it
        lora_dropout=lora.dropout,
        target_modules=targets,
        task_type=kind,
    )
    with seeded(seed), warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # peft asks transformers by a name that v6 drops
        try:
            adapter = get_peft_model(model, config)
        except ValueError as error:  # its message lists what it found
            raise ConfigError(f"lora.targets: {lora.targets}: {error}") from error
    if isinstance(model.get_output_embeddings(), BaseTunerLayer):
        raise ConfigError(f"lora.targets: {lora.targets}: the output layer has no adapter; leave it out of the targets")
    return adapter


def merged_weights(model: PreTrainedModel) -> dict[str, Tensor]:
    """The weights that a model without adapter would need to give the same outputs: W + (alpha / rank) · B·A.

    The model is left as it is: what peft merges in place it cannot take out again exactly.
    """
    weights = {name.replace(".base_layer.", "."): value for name, value in model.state_dict().items()}
    for path, module in model.named_modules():
        if (weight := adapted_weight(module)) is not None:
            weights[f"{path}.weight"] = weight
    for name in [name for name in weights if ".modules_to_save." in name]:
        plain = re.sub(r"\.modules_to_save\.[^.]+", "", name)  # a layer that is trained whole, beside its original
        weights[plain] = weights[name]
    return {
        name: value
        for name, value in weights.items()
        if not re.search(r"\.(lora_[^.]+|modules_to_save|original_module)\.", name)
    }


def adapted_weight(layer: torch.nn.Module) -> Tensor | None:
    """The weight W + (alpha / rank) · B·A that an adapted layer multiplies by now; None where it is no such layer."""
    from peft.tuners.tuners_utils import BaseTunerLayer

    if not isinstance(layer, BaseTunerLayer):
        return None
    adapted: Any = layer
    weight: Tensor = adapted.get_base_layer().weight
    if adapted.disable_adapters:
        return weight
    update = sum((adapted.get_delta_weight(name) for name in adapted.active_adapters), torch.zeros_like(weight))
    return weight + update.to(weight.dtype)
