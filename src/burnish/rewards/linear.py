"""Two linear judges of a text's favour: naive Bayes over the words that occur, and logistic regression on TF-IDF.

    naive Bayes           (prior + Σ_w log p(w | favourable) / p(w | not)) / √W,  over the W different words and pairs
    logistic regression   bias + Σ_block Σ_f weight_f · x_f,  x = (1 + ln count) · idf, scaled to length 1 a block
                          blocks: words with pairs of words; runs of 3 to 5 letters inside a word
                          idf_f = ln((1 + texts) / (1 + texts with f)) + 1

Words of a text are not independent, so naive Bayes grows too sure with each of them. Divided by √W its certainty is the
same at every length, and its calibrated log-loss on held-out film sentences is lowest (0.516; undivided 0.525, by W
0.520).

scikit-learn fits; scoring is here, from a vocabulary and its weights, which are plain numbers in a file that a person
can read. Equality with scikit-learn's own scores is tested.
"""

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np

from burnish.errors import DataError
from burnish.rewards.words import words

NGRAMS = (3, 4, 5)
SMOOTHING = 1.0  # of naive Bayes: Laplace's
REGULARISATION = 1.0  # of the regression: sklearn's C, chosen by cross-validation among 1 and 4


def word_features(text: str) -> list[str]:
    """Words and pairs of neighbouring words, marks left out."""
    word_W = [word for word in words(text) if word[0].isalnum()]
    return word_W + [f"{first} {second}" for first, second in pairwise(word_W)]


def letter_features(text: str) -> list[str]:
    """Runs of letters inside a word with its edges: "fun" gives " fu", "fun", "un ", " fun", "fun ", " fun "."""
    edged = [f" {word} " for word in words(text)]
    return [word[i : i + n] for word in edged for n in NGRAMS for i in range(len(word) - n + 1)]


@dataclass(frozen=True, slots=True)
class NaiveBayes:
    """`weight`: the log-ratio of each word or pair that was seen."""

    bias: float
    weight: Mapping[str, float]

    def log_odds(self, text: str) -> float:
        """Unseen words say nothing, but count in W."""
        features = set(word_features(text))
        total = self.bias + math.fsum(self.weight.get(feature, 0.0) for feature in features)
        return total / math.sqrt(max(len(features), 1))


@dataclass(frozen=True, slots=True)
class Block:
    """`weight` and `seen` (the number of texts with it) of each feature, out of `texts` texts."""

    texts: int
    weight: Mapping[str, float]
    seen: Mapping[str, int]

    def log_odds(self, features: Sequence[str]) -> float:
        total = square = 0.0
        for feature, count in Counter(features).items():
            seen = self.seen.get(feature)
            if seen is not None:
                value = (1 + math.log(count)) * (math.log((1 + self.texts) / (1 + seen)) + 1)
                total += value * self.weight[feature]
                square += value * value
        return total / math.sqrt(square) if square else 0.0


@dataclass(frozen=True, slots=True)
class Regression:
    bias: float
    word: Block
    letter: Block

    def log_odds(self, text: str) -> float:
        return self.bias + self.word.log_odds(word_features(text)) + self.letter.log_odds(letter_features(text))


Favour = NaiveBayes | Regression


def fit_naive_bayes(texts: Sequence[str], favourable: Sequence[bool]) -> NaiveBayes:
    from sklearn.feature_extraction.text import CountVectorizer
    from sklearn.naive_bayes import MultinomialNB

    counts = CountVectorizer(analyzer=word_features, binary=True)
    model = MultinomialNB(alpha=SMOOTHING).fit(counts.fit_transform(texts), np.array(favourable, dtype=bool))
    ratio_F = model.feature_log_prob_[1] - model.feature_log_prob_[0]
    return NaiveBayes(
        bias=float(model.class_log_prior_[1] - model.class_log_prior_[0]),
        weight=_rounded(counts.get_feature_names_out(), ratio_F),
    )


def fit_regression(texts: Sequence[str], favourable: Sequence[bool]) -> Regression:
    """Features that only one text has are left out: they cost half the file and say little."""
    from scipy.sparse import hstack
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression

    analysers: tuple[Callable[[str], list[str]], ...] = (word_features, letter_features)
    makers = [TfidfVectorizer(analyzer=analyser, sublinear_tf=True, min_df=2) for analyser in analysers]
    matrix = hstack([maker.fit_transform(texts) for maker in makers]).tocsr()
    model = LogisticRegression(C=REGULARISATION, max_iter=1000).fit(matrix, np.array(favourable, dtype=bool))
    blocks, start = [], 0
    for maker in makers:
        names = maker.get_feature_names_out()
        seen_F = np.rint((1 + len(texts)) / np.exp(maker.idf_ - 1) - 1).astype(int)
        weight = _rounded(names, model.coef_[0, start : start + len(names)])
        blocks.append(Block(len(texts), weight, dict(zip(names.tolist(), seen_F.tolist(), strict=True))))
        start += len(names)
    return Regression(float(model.intercept_[0]), *blocks)


def _rounded(names: Any, weight_F: Any) -> dict[str, float]:
    """Four digits after the point: a text's log-odds move by less than 0.01."""
    return {name: round(weight, 4) for name, weight in zip(names.tolist(), weight_F.tolist(), strict=True)}


def to_json(favour: Favour) -> dict[str, Any]:
    """Plain lists and numbers; `from_json` makes the same judge of them."""
    if isinstance(favour, NaiveBayes):
        return {"kind": "naive_bayes", "bias": favour.bias, "weight": dict(favour.weight)}
    blocks = {
        name: {"texts": block.texts, "features": {f: [block.weight[f], block.seen[f]] for f in block.weight}}
        for name, block in (("word", favour.word), ("letter", favour.letter))
    }
    return {"kind": "regression", "bias": favour.bias, **blocks}


def from_json(value: Mapping[str, Any]) -> Favour:
    """Raises DataError where something is missing or is not a finite number."""
    try:
        if value["kind"] == "naive_bayes":
            return NaiveBayes(_number(value["bias"]), {str(f): _number(w) for f, w in value["weight"].items()})
        if value["kind"] == "regression":
            return Regression(_number(value["bias"]), _block(value["word"]), _block(value["letter"]))
        raise DataError(f"kind is {value['kind']!r}; known are naive_bayes and regression")
    except (KeyError, TypeError, AttributeError, IndexError, ValueError) as error:
        raise DataError(f"this is not a judge's file: {type(error).__name__} {error}") from None


def _block(value: Mapping[str, Any]) -> Block:
    features = value["features"].items()
    weight = {str(feature): _number(pair[0]) for feature, pair in features}
    return Block(int(value["texts"]), weight, {str(feature): int(pair[1]) for feature, pair in features})


def _number(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise ValueError(f"{value!r} is not a finite number")
    return float(value)
