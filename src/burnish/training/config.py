"""The keys that every training stage shares, with one meaning everywhere."""

from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from burnish.models.adapters import Lora


class Adam(BaseModel):
    """AdamW (Loshchilov and Hutter 2019)."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    beta1: float = Field(0.9, ge=0, lt=1, description="decay of the mean of gradients")
    beta2: float = Field(0.999, ge=0, lt=1, description="decay of the mean of squared gradients")
    epsilon: float = Field(1e-8, gt=0, description="added to the root of the mean square")


class MethodConfig(BaseModel):
    """What a training stage may be told. A method adds its own keys and its own defaults."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    learning_rate: float = Field(1e-5, gt=0, description="peak of the learning rate")
    schedule: Literal["cosine", "linear", "constant"] = Field("cosine", description="course of the rate after warm-up")
    warmup: float = Field(0.0, ge=0, lt=1, description="share of the steps in which the rate rises to its peak")
    epochs: float | None = Field(None, gt=0, description="passes over the data; 1 where neither this nor steps is set")
    steps: int | None = Field(None, ge=1, description="optimiser steps, or iterations of a method that samples")
    batch_size: int = Field(8, ge=1, description="groups a step, over all ranks")
    micro_batch_tokens: int = Field(2048, ge=1, description="tokens computed at once; changes memory, not results")
    max_length: int = Field(1024, ge=2, description="most tokens of a prompt with one of its answers")
    shuffle: bool = Field(True, description="a new order of the rows every epoch, from the seed")
    weight_decay: float = Field(0.0, ge=0, description="AdamW's decoupled weight decay of matrices")
    max_grad_norm: float = Field(1.0, ge=0, description="gradients are scaled down to this norm; 0 is off")
    adam: Adam = Field(default_factory=Adam, description="AdamW's constants")
    dropout: float = Field(0.0, ge=0, lt=1, description="dropout of every layer that has it, seeded by step")
    template: str = Field("auto", description="chat template: auto, none, chat, or a built-in one by name")
    learn_from: Literal["last", "all"] | None = Field(None, description="assistant turns that carry loss")
    lora: Lora | None = Field(None, description="train low-rank adapters instead of all weights")
    seed: int = Field(0, ge=0, lt=2**63, description="what all random numbers come from")
    save_every: int = Field(0, ge=0, description="steps between checkpoints; 0 saves at the end only")
    evaluate_every: int = Field(0, ge=0, description="steps between evaluations; 0 is off")
    dtype: str = Field("auto", description="auto, float32, bfloat16, float16 or float64")
    device: str = Field("auto", description="auto, cpu, cuda or mps")
    activation_checkpointing: bool = Field(False, description="compute activations again instead of keeping them")
    skip_check: tuple[str, ...] = Field((), description="checks before step one to leave out")

    @model_validator(mode="after")
    def _one_length(self) -> Self:
        if self.epochs is not None and self.steps is not None:
            raise ValueError("epochs and steps are both set; keep one")
        return self
