"""DPO's keys, and its family by name: each member's loss, the keys that it reads, the settings that its paper has."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator
from torch import Tensor

from burnish.methods.rankings import Margin
from burnish.models.adapters import Lora
from burnish.objectives import preference
from burnish.objectives.gains import Divergence
from burnish.training.config import MethodConfig


@dataclass(frozen=True)
class Form:
    """`loss`: of pairs; None is of whole orders. `reads`: keys beside those that all read (beta, sft). `settings`: what
    it sets where nothing else is said. Without `reference` it compares log-probabilities, not gains."""

    loss: Callable[..., Tensor] | None
    reads: frozenset[str]
    settings: Mapping[str, Any] = field(default_factory=dict)
    reference: bool = True


PAIRS = frozenset({"weight", "wpo"})
REFERRED = frozenset({"reference_every", "reference_share"})
GAP = PAIRS | REFERRED | {"length", "length_tail", "divergence", "alpha"}
"""Of losses of the gap between two gains, whatever these are made of."""
MARGIN = frozenset({"margin", "margin_scale", "target_margin"})
AHEAD = GAP | MARGIN | {"length_price"}
"""Of those in which β times the gap may be asked to pass something."""

FORMS: Mapping[str, Form] = {
    "sigmoid": Form(preference.dpo, AHEAD | {"smoothing"}),
    "ipo": Form(preference.ipo, GAP),
    "hinge": Form(preference.hinge, AHEAD),
    "robust": Form(preference.robust, AHEAD | {"smoothing"}),
    "exo": Form(preference.exo, AHEAD | {"smoothing"}, {"smoothing": 1e-3}),
    "discopop": Form(preference.discopop, AHEAD),
    "nca": Form(preference.nca, PAIRS | REFERRED),
    "bco": Form(preference.bco, PAIRS | REFERRED | {"baseline"}),
    "sppo": Form(preference.sppo, PAIRS | REFERRED, {"beta": 1e-3}),
    "apo_zero": Form(preference.apo_zero, PAIRS | REFERRED),
    "apo_down": Form(preference.apo_down, PAIRS | REFERRED),
    "cpo": Form(preference.cpo, PAIRS | {"smoothing"}, {"sft": {"weight": 1.0, "length": "sum"}}, reference=False),
    "simpo": Form(
        preference.simpo,
        PAIRS | MARGIN | {"smoothing"},
        {"beta": 2.0, "target_margin": 1.0, "length": "mean"},
        reference=False,
    ),
    "orpo": Form(preference.orpo, PAIRS, {"length": "mean", "sft": {"weight": 1.0}}, reference=False),
    "plackett_luce": Form(None, REFERRED | {"length", "divergence", "alpha"}),
}
Name = Literal[
    "sigmoid",
    "ipo",
    "hinge",
    "robust",
    "exo",
    "discopop",
    "nca",
    "bco",
    "sppo",
    "apo_zero",
    "apo_down",
    "cpo",
    "simpo",
    "orpo",
    "plackett_luce",
]
READ_BY_SOME = frozenset[str]().union(*(form.reads for form in FORMS.values()))


class SFT(BaseModel):
    """-log p of the best answers of each prompt, beside the preference loss."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    weight: float = Field(0.0, ge=0, description="what -log p of a prompt's best answers weighs; 0 is off")
    length: Literal["mean", "sum"] = Field("mean", description="log p of them: the mean of their tokens, or the sum")

    @model_validator(mode="after")
    def _nothing_idle(self) -> Self:
        if not self.weight and "length" in self.model_fields_set:
            raise ValueError("length is of an SFT term whose weight is 0; set sft.weight, or leave both out")
        return self


class DPOKeys(BaseModel):
    """Which loss of pairs it is: the keys of `dpo`, and the group `dpo` of a method that makes its pairs itself."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    loss: Name = Field("sigmoid", description="which of the family; its paper's settings are the defaults")
    beta: float = Field(0.1, gt=0, description="price of leaving the reference; larger stays closer")
    smoothing: float = Field(0.0, ge=0, lt=0.5, description="share of pairs taken to be the wrong way round")
    weight: Literal["prompt", "pair"] = Field("prompt", description="what counts once: a prompt, or a pair")
    length: Literal["sum", "mean"] = Field("sum", description="an answer's gain: of all its tokens, or their mean")
    length_price: float = Field(0.0, ge=0, description="what an answer's reward loses for each of its tokens; 0 is off")
    length_tail: float = Field(
        1.0, ge=0, le=1, description="what a token beyond the other answer's length counts; 1 is like any other"
    )
    margin: Margin = Field("none", description="what beta times the gap must pass: the row's, by confidence, by scores")
    margin_scale: float = Field(1.0, gt=0, description="what the margin is multiplied with")
    target_margin: float = Field(0.0, ge=0, description="what beta times the gap of every pair must pass")
    divergence: Divergence = Field("reverse_kl", description="what leaving the reference is measured by")
    alpha: float = Field(0.5, gt=0, lt=1, description="of divergence alpha: from reverse KL (0) to forward KL (1)")
    baseline: Literal["batch", "none"] = Field("batch", description="bco: gains less the batch's mean gain, or not")
    wpo: bool = Field(False, description="pairs weigh by how likely the policy is to write them")
    reference_every: int = Field(
        0, ge=0, description="steps after which the reference follows the policy as it is then; 0 is never"
    )
    reference_share: float = Field(1.0, gt=0, le=1, description="how far it follows: 1 is all the way")
    sft: SFT = Field(default_factory=lambda: SFT(), description="an SFT term on the best answers")

    @model_validator(mode="before")
    @classmethod
    def _its_papers(cls, given: Any) -> Any:
        """The settings of the loss's paper lie below those that are given."""
        form = FORMS.get(str(given.get("loss", "sigmoid"))) if isinstance(given, Mapping) else None
        if form is None:
            return given
        settings = dict(form.settings)
        if isinstance(given.get("sft"), Mapping):  # sft.length alone must not take away the paper's sft.weight
            settings["sft"] = settings.get("sft", {}) | dict(given["sft"])
            if not settings["sft"].get("weight", 1.0) and "length" not in given["sft"]:
                settings["sft"].pop("length", None)  # the paper's, of a term that is switched off
            given = {key: value for key, value in given.items() if key != "sft"}
        return settings | dict(given)

    @model_validator(mode="after")
    def _nothing_idle(self) -> Self:
        form = FORMS[self.loss]
        for key in READ_BY_SOME - form.reads:
            if getattr(self, key) != form.settings.get(key, type(self).model_fields[key].default):
                who = ", ".join(name for name, one in FORMS.items() if key in one.reads)
                raise ValueError(f"{key}: loss: {self.loss} does not read it; leave it out, or take one of {who}")
        if self.loss in ("robust", "exo") and not self.smoothing:
            raise ValueError(f"smoothing: 0, and loss: {self.loss} needs a share above 0; set it, or take sigmoid")
        if self.margin == "none" and self.margin_scale != 1:
            raise ValueError("margin_scale multiplies the margin, and there is none; set margin, or leave both out")
        if self.divergence != "alpha" and "alpha" in self.model_fields_set:
            raise ValueError(f"alpha is of divergence: alpha, and divergence is {self.divergence}; leave one out")
        if "reference_share" in self.model_fields_set and not self.reference_every:
            raise ValueError(
                "reference_share is how far reference_every follows, and that is 0; set it, or leave both out"
            )
        return self


def reference_of_its_own(reference_every: int, lora: Lora | None) -> None:
    """Raise ValueError where the reference is to move, and is the policy's own weights."""
    if reference_every and lora is not None:
        raise ValueError(
            "reference_every copies the policy's weights into the reference, and with lora the reference is the "
            "same weights without the adapter; leave one out"
        )


class DPOConfig(DPOKeys, MethodConfig):
    learning_rate: float = Field(1e-6, gt=0, description="peak of the learning rate")

    @model_validator(mode="after")
    def _a_reference_of_its_own(self) -> Self:
        reference_of_its_own(self.reference_every, self.lora)
        return self
