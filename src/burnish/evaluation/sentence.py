"""A verdict as a sentence: who is preferred, on how many prompts, how far it went for that, how long its answers are.

    dpo is preferred to sft on 63 % of prompts [58–68], at 4.1 nats, with answers 12 % longer
    dpo 优于 sft：在 63% 的提示上胜出 [58–68]，KL 为 4.1 奈特，回答长 12%

and a warning beside it where that gain may be nothing but length.
"""

from collections.abc import Mapping

from burnish.evaluation.language import Language

Figures = Mapping[str, float | None]

WORDS: Mapping[Language, Mapping[str, str]] = {
    "en": {
        "preferred": "{model} is preferred to {first} on {rate} % of prompts [{low}–{high}]",
        "beaten": "{first} is preferred to {model}, which wins on {rate} % of prompts [{low}–{high}]",
        "level": "{model} and {first} cannot be told apart: {model} wins on {rate} % of prompts [{low}–{high}]",
        "kl": ", at {kl} nats",
        "as long": ", with answers as long",
        "longer": ", with answers {change} % longer",
        "shorter": ", with answers {change} % shorter",
        "untold": "all of {model}'s answers differ in length by much the same amount: nothing tells length from "
        "quality",
        "gone": "at equal length {model} wins {rate} % [{low}–{high}]: its gain may be nothing but length",
        "unsure": "at equal length {model} wins {rate} % [{low}–{high}]: more prompts would tell its gain from length",
    },
    "zh": {
        "preferred": "{model} 优于 {first}：在 {rate}% 的提示上胜出 [{low}–{high}]",
        "beaten": "{first} 优于 {model}：{model} 只在 {rate}% 的提示上胜出 [{low}–{high}]",
        "level": "{model} 与 {first} 难分高下：{model} 在 {rate}% 的提示上胜出 [{low}–{high}]",
        "kl": "，KL 为 {kl} 奈特",
        "as long": "，回答长度相同",
        "longer": "，回答长 {change}%",
        "shorter": "，回答短 {change}%",
        "untold": "{model} 的回答与对方的长度差几乎处处相同，无法区分胜出靠的是长度还是质量",
        "gone": "长度相同时，{model} 的胜率为 {rate}% [{low}–{high}]：优势可能只来自长度",
        "unsure": "长度相同时，{model} 的胜率为 {rate}% [{low}–{high}]：需要更多提示才能分清优势是否来自长度",
    },
}


def told(verdicts: Mapping[str, Figures], language: Language = "en") -> dict[str, dict[str, str]]:
    """For each model but the first, which is the one to beat: its `sentence` and, where there is one, its `warning`.

    A model without a win rate has neither.
    """
    first, *others = verdicts
    found: dict[str, dict[str, str]] = {}
    for model in others:
        if (said := sentence(model, verdicts[model], first, verdicts[first], language)) is not None:
            warned = warning(model, verdicts[model], language)
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


def sentence(model: str, figures: Figures, first: str, baseline: Figures, language: Language = "en") -> str | None:
    """What the figures of `model` say of it beside `first`."""
    words = WORDS[language]
    rate, low, high = (figures.get(f"win_rate{end}") for end in ("", "_low", "_high"))
    if rate is None or low is None or high is None:
        return None
    how = "preferred" if low > 0.5 else "beaten" if high < 0.5 else "level"
    said = words[how].format(model=model, first=first, **_percents(rate, low, high))
    kl = figures.get("kl")
    said += words["kl"].format(kl=f"{kl:.{1 if kl >= 1 else 2}f}") if kl is not None else ""
    return said + _length(figures.get("answer_length"), baseline.get("answer_length"), words)


def warning(model: str, figures: Figures, language: Language = "en") -> str | None:
    """Where a model is preferred, and at equal length it is not sure to be: either since less than half of its gain is
    left there, or since its interval is too wide to tell."""
    words = WORDS[language]
    if (figures.get("win_rate_low") or 0.0) <= 0.5 or (figures.get("win_rate_controlled_low") or 0.0) > 0.5:
        return None
    if "win_rate_controlled" not in figures:
        return None
    rate, low, high = (figures.get(f"win_rate_controlled{end}") for end in ("", "_low", "_high"))
    if rate is None or low is None or high is None:
        return words["untold"].format(model=model)
    gone = rate - 0.5 < ((figures.get("win_rate") or 0.0) - 0.5) / 2
    return words["gone" if gone else "unsure"].format(model=model, **_percents(rate, low, high))


def _length(own: float | None, other: float | None, words: Mapping[str, str]) -> str:
    if own is None or not other:
        return ""
    change = round(100 * (own / other - 1))
    if not change:
        return words["as long"]
    return words["longer" if change > 0 else "shorter"].format(change=abs(change))


def _percents(rate: float, low: float, high: float) -> dict[str, str]:
    return {name: f"{100 * share:.0f}" for name, share in (("rate", rate), ("low", low), ("high", high))}
