"""What figures are called and what they mean, in the report's words; and how numbers are written."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

Figures = Mapping[str, float | None]
NARROW = "\u202f"


@dataclass(frozen=True, slots=True)
class Row:
    """A row of the table of verdicts. `watch` says that a model's figure, beside the one to beat, asks for a look."""

    name: str
    title: str
    meaning: str
    digits: int = 2
    percent: bool = False
    watch: Callable[[float, float], bool] = lambda value, base: False


ROWS = (
    Row("win_rate", "Win rate", "prompts on which its answer is judged better, ties as half; 95 % interval", 0, True),
    Row("win_rate_controlled", "At equal length", "the win rate, were its answers as long as the other's", 0, True),
    Row("strength", "Strength", "Bradley–Terry, all models against each other: 0.69 is two wins for each loss", 2),
    Row(
        "kl",
        "KL",
        "how far it went from the model to beat, nats an answer; standard error",
        2,
        watch=lambda v, b: v > 8,
    ),
    Row("judge_mean", "Judge's score", "mean over its answers", 2),
    Row(
        "fluency",
        "Fluency",
        "mean log-probability a token under the pretrained base",
        2,
        watch=lambda v, b: v < b - 0.4,
    ),
    Row("distinct_2", "Distinct pairs", "of all neighbouring words in its answers", 2, watch=lambda v, b: v < 0.7 * b),
    Row("unique_answers", "Unique answers", "of all its answers", 0, True, lambda v, b: v < 0.7 * b),
    Row("answer_length", "Length", "tokens an answer", 1, watch=lambda v, b: not 0.6 * b <= v <= 1.6 * b),
    Row("ended", "Ended", "answers that came to their end", 0, True, lambda v, b: v < b - 0.1),
    Row(
        "perplexity", "Perplexity", "of held-out text that no model was trained on", 1, watch=lambda v, b: v > 1.15 * b
    ),
)
INSIDE = {"kl_se"} | {
    f"{name}_{end}" for name in ("win_rate", "win_rate_controlled", "strength") for end in ("low", "high")
}
"""Fields that stand in another field's cell."""

WATCHED = (
    "fluency more than 0.4 below the model to beat, distinct pairs or unique answers below 0.7 of its, length outside "
    "0.6 to 1.6 of its, KL above 8 nats, perplexity above 1.15 of its, ended 10 points below its"
)


@dataclass(frozen=True, slots=True)
class Curve:
    """A picture of one figure over steps, or of two that belong together, each with its name."""

    keys: tuple[str, ...]
    title: str
    meaning: str
    names: tuple[str, ...] = ("",)


CURVES = (
    Curve(("loss", "heldout_loss"), "Loss", "of each step's batch, before the step", ("", "held-out")),
    Curve(("accuracy",), "Accuracy", "pairs whose better answer scores higher"),
    Curve(("margin",), "Margin", "score of the better less the worse"),
    Curve(("logp_chosen", "logp_rejected"), "Log-probability", "of better and worse answers", ("better", "worse")),
    Curve(("reward",), "Reward", "mean score of the iteration's answers"),
    Curve(("kl_k1",), "KL to the reference", "nats an answer, estimated on those drawn (k1)"),
    Curve(("entropy",), "Entropy", "of the next token, nats"),
    Curve(("clip_fraction",), "Clipped", "tokens whose ratio left the clip range"),
    Curve(("value_loss",), "Value loss", "the critic's"),
    Curve(("explained_variance",), "Explained", "share of the returns' variance that the critic knew: 1 is all"),
    Curve(("score_mean", "score_kept"), "Scores", "of all answers drawn and of those kept", ("all", "kept")),
    Curve(("answer_length",), "Length", "tokens an answer"),
    Curve(("ended",), "Ended", "answers that came to their end"),
    Curve(("grad_norm",), "Gradient", "its norm before clipping"),
)

FACTS: Mapping[str, str] = {
    "loss": "loss",
    "heldout_loss": "held-out loss",
    "heldout_accuracy": "held-out accuracy",
    "heldout_reward": "held-out reward",
    "heldout_judge": "held-out judge's score",
    "heldout_kl": "held-out KL",
    "best_step": "best after step",
    "heldout_pairs": "held-out pairs",
    "own_above_other": "own answer above another prompt's",
    "heldout_calibration_error": "calibration error",
    "heldout_length_share": "explained by length",
    "reward": "reward",
    "kl_k1": "KL (k1)",
    "accuracy": "accuracy",
    "margin": "margin",
    "answers": "answers",
    "rankings": "rankings",
    "with_ties": "with ties",
    "score_mean": "mean score",
    "score_kept": "mean score of the kept",
    "prompts": "prompts",
    "ratio_first": "first ratio",
    "sampler_gap": "largest sampler gap",
    "ended": "ended",
    "answer_length": "tokens an answer",
}

SHARES = {
    "held-out accuracy",
    "own answer above another prompt's",
    "calibration error",
    "explained by length",
    "accuracy",
    "ended",
}
"""Facts that are written in percent."""


def number(value: float | None, digits: int = 2) -> str:
    """A number as text, with a minus sign and thousands apart; a dash where there is none."""
    if value is None or math.isnan(value):
        return "–"
    if math.isinf(value):
        return "∞" if value > 0 else "−∞"
    if value and (abs(value) >= 1e7 or abs(value) < 1e-4):
        return f"{value:.1e}".replace("-", "−")
    if value and abs(value) < 0.5 * 10**-digits:
        digits = math.ceil(-math.log10(abs(value)))
    return f"{value:,.{digits}f}".replace(",", NARROW).replace("-", "−")


def percent(value: float | None, digits: int = 0) -> str:
    return number(None if value is None else 100 * value, digits) + (f"{NARROW}%" if value is not None else "")


def figure(value: float | None) -> str:
    """A number of unknown kind: whole numbers without digits, others with three that count."""
    if value is None or not math.isfinite(value):
        return number(value)
    if value == int(value) and abs(value) < 1e7:
        return number(value, 0)
    return number(value, max(0, min(4, 2 - math.floor(math.log10(abs(value))))))


def duration(seconds: float) -> str:
    """12 s, 3 min 05 s, 2 h 10 min."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole}{NARROW}s" if whole else f"{seconds:.1f}{NARROW}s"
    if whole < 3600:
        return f"{whole // 60}{NARROW}min {whole % 60:02d}{NARROW}s"
    return f"{whole // 3600}{NARROW}h {whole % 3600 // 60:02d}{NARROW}min"


def listing(names: list[str]) -> str:
    """a, b and c."""
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}" if names else ""
