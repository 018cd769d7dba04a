"""The verdict on a model: does it win, how far did it go for it, and are its answers still answers?

    G prompts, K answers of one prompt (ragged); every table has a row a prompt and a value an answer

A high win rate alone proves little: a policy that has found what its judge likes can win while its sentences fall
apart. So the figures come together, and none is left out.
"""

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields

from burnish.errors import ConfigError
from burnish.evaluation import safety, text, told_apart
from burnish.evaluation.intervals import check_alike, mean_and_error, proportion, wins
from burnish.evaluation.length_control import length_controlled

Table = Sequence[Sequence[float]]


@dataclass(frozen=True, slots=True)
class Measured:
    """What the passes over one model's answers found.

    `score_GK`: the judge's score. `kl_GK`: Σ over an answer's states of the full-vocabulary KL to the reference, nats.
    `logprob_GK`: the answer's log-probability under the pretrained base, its end token left out, and `length_GK` the
    number of tokens in that sum. `ended_GK`: it has an end token. `heldout_logprob`, `heldout_tokens`: the model's own
    log-probability of the held-out pretraining text, and its tokens.
    """

    answer_GK: Sequence[Sequence[str]]
    score_GK: Table
    kl_GK: Table
    logprob_GK: Table
    length_GK: Sequence[Sequence[int]]
    ended_GK: Sequence[Sequence[bool]]
    heldout_logprob: float
    heldout_tokens: int


@dataclass(frozen=True, slots=True)
class Opinion:
    """What one judge says of a model against another: its win rate, and that at equal length, each with an interval,
    and the mean of its scores."""

    win_rate: float
    win_rate_low: float
    win_rate_high: float
    win_rate_controlled: float
    win_rate_controlled_low: float
    win_rate_controlled_high: float
    judge_mean: float


@dataclass(frozen=True, slots=True)
class Verdict:
    """Every figure by which a model is judged. NaN is what could not be measured."""

    win_rate: float
    win_rate_low: float
    win_rate_high: float
    win_rate_controlled: float
    win_rate_controlled_low: float
    win_rate_controlled_high: float
    kl: float
    kl_se: float
    judge_mean: float
    fluency: float
    distinct_2: float
    unique_answers: float
    answer_length: float
    ended: float
    perplexity: float

    def figures(self) -> dict[str, float | None]:
        """The fields by name, ready for JSON, which has no NaN: what could not be measured is null."""
        return {name: value if math.isfinite(value) else None for name, value in asdict(self).items()}


OF_OTHERS = ("strength", "strength_low", "strength_high", "verdicts", "annotators", "consistency", "unreadable")
"""What `evaluate` tells beside a verdict: of several models, of people, of a language model that judges."""

FIGURES = (*(field.name for field in fields(Verdict)), *OF_OTHERS, *told_apart.FIGURES, *safety.FIGURES)
"""Every figure that a model may have; of several judges each has its own, as `win_rate/NAME`."""


def verdict(model: Measured, baseline: Measured, won_GK: Table | None = None, *, level: float = 0.95) -> Verdict:
    """The verdict on `model` against `baseline`, which answered the same prompts from the same seeds.

    Answer k of one is compared with answer k of the other by the judge's score; equal scores are ties. `won_GK`: what
    people say of them in a score's place, 1 (wins), ½ or 0, NaN where nobody judged. Then there is no mean score, and
    where nobody judged anything no win rate. `level` is that of each interval, `intervals.each_of` where several models
    are compared. Means are over prompts, but fluency and perplexity are over tokens. Raises ConfigError where tables do
    not have the same shape.
    """
    _check(model)
    longer_GK = longer(model, baseline)
    if won_GK is None:
        said = opinion(model.score_GK, baseline.score_GK, longer_GK, level=level)
    else:
        said = _opinion_of_people(won_GK, longer_GK, level)
    kl, kl_se = mean_and_error(model.kl_GK)
    answers = [answer for answer_K in model.answer_GK for answer in answer_K]
    tokens = sum(map(sum, model.length_GK))
    return Verdict(
        **asdict(said),
        kl=kl,
        kl_se=kl_se,
        fluency=math.fsum(map(math.fsum, model.logprob_GK)) / tokens if tokens else math.nan,
        distinct_2=text.distinct_2(answers),
        unique_answers=text.unique_answers(answers),
        answer_length=text.answer_length(model.length_GK),
        ended=mean_and_error(model.ended_GK)[0],
        perplexity=perplexity(model.heldout_logprob, model.heldout_tokens),
    )


def longer(model: Measured, baseline: Measured) -> list[list[float]]:
    """How many tokens each answer has more than the baseline's of the same number. Raises ConfigError as `wins`."""
    check_alike(model.length_GK, baseline.length_GK)
    return [
        [float(own - other) for own, other in zip(own_K, other_K, strict=True)]
        for own_K, other_K in zip(model.length_GK, baseline.length_GK, strict=True)
    ]


def opinion(score_GK: Table, baseline_GK: Table, longer_GK: Table, *, level: float = 0.95) -> Opinion:
    """One judge's win rates and mean score; for a second judge, beside the verdict."""
    return _opinion(wins(score_GK, baseline_GK), longer_GK, mean_and_error(score_GK)[0], level)


def _opinion_of_people(won_GK: Table, longer_GK: Table, level: float) -> Opinion:
    judged_GK = [[k for k, won in enumerate(won_K) if not math.isnan(won)] for won_K in won_GK]
    if not any(judged_GK):
        return Opinion(*[math.nan] * 7)
    won, apart = (
        [[value_K[k] for k in judged_K] for value_K, judged_K in zip(table, judged_GK, strict=True)]
        for table in (won_GK, longer_GK)
    )
    return _opinion(won, apart, math.nan, level)


def _opinion(won_GK: Table, longer_GK: Table, judge_mean: float, level: float) -> Opinion:
    won = proportion(won_GK, level=level)
    controlled = length_controlled(won_GK, longer_GK, level=level)
    return Opinion(won.mean, won.low, won.high, controlled.mean, controlled.low, controlled.high, judge_mean)


def perplexity(logprob: float, tokens: int) -> float:
    """exp(-Σ log p / tokens); NaN without tokens, infinity beyond a double."""
    if tokens <= 0:
        return math.nan
    mean = -logprob / tokens
    return math.exp(mean) if mean < 700 else math.inf


def _check(measured: Measured) -> None:
    shape = [len(answer_K) for answer_K in measured.answer_GK]
    for field in fields(measured):
        table = getattr(measured, field.name)
        if field.name.endswith("_GK") and [len(value_K) for value_K in table] != shape:
            raise ConfigError(
                f"{field.name} has {len(table)} prompts with {sum(map(len, table))} values; "
                f"the answers are {sum(shape)} to {len(shape)} prompts"
            )
