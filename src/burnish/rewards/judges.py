"""Judges of text that ship with burnish. Of English sentences: how likely is one both favourable and well formed?

    score = log P / (1 - P),  P = σ(favour) · σ(well formed)

Both log-odds are calibrated, so P is a probability that both hold, and neither can be bought with the other: praise
piled up without grammar has a small second factor, and once a sentence is surely favourable, more praise moves the
score no further. A bare sum of words' log-odds would give its best score to a list of superlatives.

Judge A (naive Bayes) and judge B (logistic regression on TF-IDF) are fitted on parts of the data that share no
sentence. A may rank answers for training; B then gives the verdict. Those of Chinese verse are in rewards/verse.py.
"""

import gzip
import json
import math
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from hashlib import blake2b
from importlib import resources
from pathlib import Path
from typing import Any, Literal

import numpy as np

from burnish.errors import ConfigError, DataError, MissingInput
from burnish.rewards import linear, verse, well_formed
from burnish.rewards.linear import Favour
from burnish.rewards.verse import Verse
from burnish.rewards.well_formed import WellFormed
from burnish.types import Prompt

FOLDS = 5
SIZE_LIMIT = 64 * 2**20  # bytes of a judge's file once unpacked


@dataclass(frozen=True, slots=True)
class Judge:
    """Call it with prompts and answers for their scores. `slope` and `offset` calibrate `favour`.

    `fitted_on`: the hash of the labelled sentences that it learned from.
    """

    favour: Favour
    slope: float
    offset: float
    well_formed: WellFormed
    fitted_on: str

    def favourable(self, text: str) -> float:
        """Log-odds of "favourable"."""
        return self.slope * self.favour.log_odds(text) + self.offset

    def score(self, text: str) -> float:
        """Log-odds of "favourable and well formed"."""
        both = log_sigmoid(self.favourable(text)) + log_sigmoid(self.well_formed.log_odds(text))
        return both - math.log(-math.expm1(both))

    def __call__(self, prompts: Sequence[Prompt], answers: Sequence[str]) -> list[float]:
        """A score an answer. One that continues a text is judged together with it; one in a conversation, alone."""
        return [self.score(sentence(prompt, answer)) for prompt, answer in zip(prompts, answers, strict=True)]


def sentence(prompt: Prompt, answer: str) -> str:
    """What is judged."""
    return prompt + answer if isinstance(prompt, str) else answer


def log_sigmoid(x: float) -> float:
    return -math.log1p(math.exp(-x)) if x > 0 else x - math.log1p(math.exp(x))


def fit_judge(
    kind: Literal["naive_bayes", "regression"], texts: Sequence[str], favourable: Sequence[bool], *, seed: int = 0
) -> Judge:
    """Fit on labelled sentences; the same sentences in the same order give the same judge.

    Calibrated by cross-validation in five folds (Platt 1999). Raises ConfigError below twenty sentences a label.
    """
    if min(sum(favourable), len(favourable) - sum(favourable)) < 20 or len(texts) != len(favourable):
        raise ConfigError(
            f"a judge learns from at least 20 sentences of each label; found {len(texts)} sentences, "
            f"{sum(favourable)} of {len(favourable)} labels favourable"
        )
    from sklearn.linear_model import LogisticRegression

    fit = linear.fit_naive_bayes if kind == "naive_bayes" else linear.fit_regression
    outside = np.zeros(len(texts))
    for fold in range(FOLDS):
        inside = [index for index in range(len(texts)) if index % FOLDS != fold]
        part = fit([texts[index] for index in inside], [favourable[index] for index in inside])
        for index in range(fold, len(texts), FOLDS):
            outside[index] = part.log_odds(texts[index])
    calibration = LogisticRegression(C=1e6).fit(outside[:, None], np.array(favourable, dtype=bool))
    return Judge(
        favour=fit(texts, favourable),
        slope=round(float(calibration.coef_[0, 0]), 4),
        offset=round(float(calibration.intercept_[0]), 4),
        well_formed=well_formed.fit_well_formed(texts, seed=seed),
        fitted_on=sentences_hash(texts, favourable),
    )


def sentences_hash(texts: Sequence[str], favourable: Sequence[bool]) -> str:
    """BLAKE2b of sentences and labels, in their order."""
    rows = json.dumps([list(texts), [bool(label) for label in favourable]])
    return blake2b(rows.encode(), digest_size=16).hexdigest()


def right(judge: Judge, texts: Sequence[str], favourable: Sequence[bool]) -> list[float]:
    """1 where the judge's "favourable" agrees with the label, else 0."""
    return [float((judge.favourable(text) > 0) == label) for text, label in zip(texts, favourable, strict=True)]


def save_judge(judge: Judge | Verse, path: Path) -> None:
    """Write gzipped JSON. The same judge gives the same bytes."""
    value = verse.to_json(judge) if isinstance(judge, Verse) else to_json(judge)
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    path.write_bytes(gzip.compress(text.encode(), mtime=0))


def to_json(judge: Judge) -> dict[str, Any]:
    """Plain words and numbers; `from_json` makes the same judge of them."""
    return {
        "fitted_on": judge.fitted_on,
        "slope": judge.slope,
        "offset": judge.offset,
        "favour": linear.to_json(judge.favour),
        "well_formed": well_formed.to_json(judge.well_formed),
    }


def from_json(value: Any) -> Judge:
    """Raises DataError where a number is not finite or a part is none, KeyError and the like where something lacks."""
    slope, offset = float(value["slope"]), float(value["offset"])
    if not (math.isfinite(slope) and math.isfinite(offset)):
        raise DataError("slope and offset must be finite")
    grammar = well_formed.from_json(value["well_formed"])
    return Judge(linear.from_json(value["favour"]), slope, offset, grammar, str(value["fitted_on"]))


def load_judge(path: Path) -> Judge | Verse:
    """Raises MissingInput where there is no file, DataError where it is no judge."""
    if not path.is_file():
        raise MissingInput(f"{path}: no such judge")
    return judge_of(path.read_bytes(), str(path))


def judge_of(packed: bytes, origin: str) -> Judge | Verse:
    """The judge in a file's bytes."""
    try:
        unpacker = zlib.decompressobj(wbits=31)
        text = unpacker.decompress(packed, SIZE_LIMIT)
        if unpacker.unconsumed_tail:
            raise DataError(f"it unpacks to more than {SIZE_LIMIT} bytes")
        value: Any = json.loads(text)
        is_verse = isinstance(value, dict) and value.get("kind") == verse.KIND
        return verse.from_json(value) if is_verse else from_json(value)
    except (zlib.error, ValueError, KeyError, TypeError, RecursionError) as error:
        raise DataError(f"{origin}: this is not a judge's file: {type(error).__name__} {error}") from None
    except DataError as error:
        raise DataError(f"{origin}: {error}") from None


def shipped_names() -> list[str]:
    """Judges that `judges:NAME` knows."""
    folder = resources.files("burnish").joinpath("assets/judges")
    names = (entry.name for entry in folder.iterdir()) if folder.is_dir() else iter(())
    return sorted(name.removesuffix(".json.gz") for name in names if name.endswith(".json.gz"))


@cache
def shipped(name: str) -> Judge | Verse:
    """The judge `judges:NAME`. Raises ConfigError with the known names."""
    if name not in shipped_names():
        raise ConfigError(
            f"judges:{name}: no such judge; known are {', '.join(map('judges:'.__add__, shipped_names()))}"
        )
    packed = resources.files("burnish").joinpath(f"assets/judges/{name}.json.gz").read_bytes()
    return judge_of(packed, f"judges:{name}")
