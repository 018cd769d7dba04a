"""The verdict on a model: does it win, how far did it go for it, and are its answers still answers?

    G prompts, K answers of one prompt (ragged); every table has a row a prompt and a value an answer

A high win rate alone proves little: a policy that has found what its judge likes can win while its sentences fall
apart. So the figures come together, and none is left out.
"""

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields

from burnish.errors import ConfigError
from burnish.evaluation import text
from burnish.evaluation.intervals import mean_and_error, proportion, wins

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
    """What one judge says of a model against another: its win rate with a 95 % interval, and the mean of its scores."""

    win_rate: float
    win_rate_low: float
    win_rate_high: float
    judge_mean: float


@dataclass(frozen=True, slots=True)
class Verdict:
    """Every figure by which a model is judged. NaN is what could not be measured."""

    win_rate: float
    win_rate_low: float
    win_rate_high: float
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


def verdict(model: Measured, baseline: Measured, won_GK: Table | None = None) -> Verdict:
    """The verdict on `model` against `baseline`, which answered the same prompts from the same seeds.

    Answer k of one is compared with answer k of the other by the judge's score; equal scores are ties. `won_GK`: what
    people say of them in a score's place, 1 (wins), ½ or 0, for those that somebody judged; a prompt may have none.
    Then there is no mean score, and without any of these no win rate. Means are over prompts, but fluency and
    perplexity are over tokens. Raises ConfigError where tables do not have the same shape.
    """
    _check(model)
    said = opinion(model.score_GK, baseline.score_GK) if won_GK is None else _opinion_of_people(won_GK)
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


def opinion(score_GK: Table, baseline_GK: Table) -> Opinion:
    """One judge's win rate and mean score; for a second judge, beside the verdict."""
    won = proportion(wins(score_GK, baseline_GK))
    return Opinion(won.mean, won.low, won.high, judge_mean=mean_and_error(score_GK)[0])


def _opinion_of_people(won_GK: Table) -> Opinion:
    if not any(len(won_K) for won_K in won_GK):
        return Opinion(math.nan, math.nan, math.nan, judge_mean=math.nan)
    won = proportion(won_GK)
    return Opinion(won.mean, won.low, won.high, judge_mean=math.nan)


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
