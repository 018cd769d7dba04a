"""LoRA through peft: the model stays in place, an adapter is added to its layers and can be switched off."""

from pydantic import BaseModel, ConfigDict, Field

from burnish.models.model import Model


class Lora(BaseModel):
    """Low-rank adapters (Hu et al. 2021): W + (alpha / rank) · B·A, with B zero at the start."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    rank: int = Field(16, ge=1, description="rank of the update of each adapted matrix")
    alpha: float = Field(32.0, gt=0, description="the update is scaled by alpha / rank")
    dropout: float = Field(0.0, ge=0, lt=1, description="dropout before the adapter")
    targets: str | tuple[str, ...] = Field(
        "all-linear", description="names of the layers to adapt, or all-linear: every linear layer but the output"
    )


def with_adapter(model: Model, lora: Lora) -> None:
    """Add a fresh adapter in place and freeze everything else; a scorer's head stays trainable."""
    from peft import LoraConfig, get_peft_model  # 6 seconds of import that only adapters need

    kind = "SEQ_CLS" if hasattr(model.model, "score") else "CAUSAL_LM"
    targets = lora.targets if isinstance(lora.targets, str) else list(lora.targets)
    config = LoraConfig(
        r=lora.rank,
        lora_alpha=lora.alpha,  # type: ignore[arg-type]  # peft says int and only ever divides it
        lora_dropout=lora.dropout,
        target_modules=targets,
        task_type=kind,
    )
    model.adapter = get_peft_model(model.model, config)
