"""A verdict as a sentence: who is preferred, on how many prompts, how far it went for that, how long its answers are.

    dpo is preferred to sft on 63 % of prompts [58–68], at 4.1 nats, with answers 12 % longer

and a warning beside it where that gain may be nothing but length.
"""

from collections.abc import Mapping

Figures = Mapping[str, float | None]


def told(verdicts: Mapping[str, Figures]) -> dict[str, dict[str, str]]:
    """For each model but the first, which is the one to beat: its `sentence` and, where there is one, its `warning`.

    A model without a win rate has neither.
    """
    first, *others = verdicts
    found: dict[str, dict[str, str]] = {}
    for model in others:
        if (said := sentence(model, verdicts[model], first, verdicts[first])) is not None:
            warned = warning(model, verdicts[model])
            found[model] = {"sentence": said} | ({"warning": warned} if warned is not None else {})
    return found


def as_lines(verdicts: Mapping[str, Figures]) -> list[str]:
    """What `told` finds, to be printed."""
    mark = {"sentence": "", "warning": "warning: "}
    return [mark[key] + line for said in told(verdicts).values() for key, line in said.items()]


def with_sentences(verdicts: Mapping[str, Figures]) -> dict[str, dict[str, float | str | None]]:
    """The figures with what is told of them beside them, as verdict.json has it."""
    said = told(verdicts)
    return {model: {**figures, **said.get(model, {})} for model, figures in verdicts.items()}


def sentence(model: str, figures: Figures, first: str, baseline: Figures) -> str | None:
    """What the figures of `model` say of it beside `first`."""
    rate, low, high = (figures.get(f"win_rate{end}") for end in ("", "_low", "_high"))
    if rate is None or low is None or high is None:
        return None
    share = f"on {_percent(rate)} of prompts {_between(low, high)}"
    if low > 0.5:
        said = f"{model} is preferred to {first} {share}"
    elif high < 0.5:
        said = f"{first} is preferred to {model}, which wins {share}"
    else:
        said = f"{model} and {first} cannot be told apart: {model} wins {share}"
    kl = figures.get("kl")
    said += f", at {kl:.{1 if kl >= 1 else 2}f} nats" if kl is not None else ""
    return said + _length(figures.get("answer_length"), baseline.get("answer_length"))


def warning(model: str, figures: Figures) -> str | None:
    """Where a model is preferred, and at equal length it is not sure to be: either since less than half of its gain is
    left there, or since its interval is too wide to tell."""
    if (figures.get("win_rate_low") or 0.0) <= 0.5 or (figures.get("win_rate_controlled_low") or 0.0) > 0.5:
        return None
    if "win_rate_controlled" not in figures:
        return None
    rate, low, high = (figures.get(f"win_rate_controlled{end}") for end in ("", "_low", "_high"))
    if rate is None or low is None or high is None:
        return f"all of {model}'s answers differ in length by much the same amount: nothing tells length from quality"
    gone = rate - 0.5 < ((figures.get("win_rate") or 0.0) - 0.5) / 2
    why = "its gain may be nothing but length" if gone else "more prompts would tell its gain from length"
    return f"at equal length {model} wins {_percent(rate)} {_between(low, high)}: {why}"


def _length(own: float | None, other: float | None) -> str:
    if own is None or not other:
        return ""
    change = round(100 * (own / other - 1))
    if not change:
        return ", with answers as long"
    return f", with answers {abs(change)} % {'longer' if change > 0 else 'shorter'}"


def _percent(share: float) -> str:
    return f"{100 * share:.0f} %"


def _between(low: float, high: float) -> str:
    return f"[{100 * low:.0f}–{100 * high:.0f}]"
