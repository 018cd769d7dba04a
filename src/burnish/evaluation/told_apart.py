"""Human-like: can a simple classifier tell a model's answers from people's to the same prompts?

    told_apart = mean over prompts of ½ (people's texts found to be people's + the model's found to be the model's)

Balanced accuracy, each prompt counted once: 0.5 cannot be told apart, 1 always can. The classifier is logistic
regression on TF-IDF of runs of 1 to 3 letters, fitted on other prompts than those it is asked about: a prompt's texts
are always in one fold of five, and which one a hash of the prompt says. So the same texts always give the same figure.

It is one simple classifier: what it cannot tell, a better one or a person may. Length alone often tells, so a small
tree over the number of characters and words answers the same question beside it.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from burnish.errors import ConfigError
from burnish.evaluation.intervals import proportion
from burnish.evaluation.splits import share
from burnish.rewards.words import words

BY_PEOPLE = ("told_apart_by_people", "told_apart_by_people_low", "told_apart_by_people_high")
FIGURES = ("told_apart", "told_apart_low", "told_apart_high", "told_apart_by_length", "told_apart_prompts", *BY_PEOPLE)
"""Of the classifier, and with `by: people` of people who were asked the same."""
FOLDS = 5
FEWEST = 40  # prompts; below, the interval holds nearly everything and the classifier has nothing to learn from
LETTERS = (1, 3)
STEPS = 3  # questions that the tree of lengths may ask one after the other

Told = Callable[[Any, Any, Any, Any], Any]
"""Features of texts to learn from, who wrote each, what each weighs, features of texts to tell → who wrote them."""


@dataclass(frozen=True, slots=True)
class Written:
    """A prompt, what people wrote to it and what the model did."""

    prompt: str
    people: Sequence[str]
    model: Sequence[str]


def told_apart(written: Sequence[Written]) -> dict[str, float | None]:
    """The figures of one model. Space around a text does not count.

    Raises ConfigError for fewer than FEWEST prompts.
    """
    check_enough(len(written))
    written = sorted(written, key=lambda one: (one.prompt, *one.people))  # a fit depends a little on its rows' order
    found = proportion([[value] for value in _right(written, _letters, _by_letters)])
    by_length = proportion([[value] for value in _right(written, _lengths, _by_length)])
    return {
        "told_apart": found.mean,
        "told_apart_low": found.low,
        "told_apart_high": found.high,
        "told_apart_by_length": by_length.mean,
        "told_apart_prompts": float(found.prompts),
    }


def check_enough(prompts: int) -> None:
    """Raise ConfigError where so few prompts have an answer by people that nothing would be told."""
    if prompts < FEWEST:
        raise ConfigError(
            f"people: {prompts} of the prompts have an answer by people, and telling a model from people takes "
            f"{FEWEST} at least; name more prompts, or more of people's answers to them"
        )


def folds(prompts: Sequence[str]) -> list[int]:
    """The fold of each prompt, by its text alone; folds are of like size."""
    distinct = sorted(set(prompts), key=lambda prompt: (share(prompt, "told apart"), prompt))
    fold_of = {prompt: place % FOLDS for place, prompt in enumerate(distinct)}
    return [fold_of[prompt] for prompt in prompts]


def _right(written: Sequence[Written], features: Callable[[list[str]], Any], told: Told) -> NDArray[np.float64]:
    """Each prompt's balanced accuracy: half the share of people's texts found, and half that of the model's."""
    rows = [
        (place, person, text.strip(), 1 / len(texts))
        for place, one in enumerate(written)
        for person, texts in ((1, one.people), (0, one.model))
        for text in texts
    ]
    place_N, person_N, weight_N = (np.array([row[column] for row in rows]) for column in (0, 1, 3))
    feature_NF = features([row[2] for row in rows])  # no label goes into them
    fold_N = np.array(folds([one.prompt for one in written]))[place_N]
    right_N = np.zeros(len(rows))
    for fold in range(FOLDS):
        learn_N, tell_N = fold_N != fold, fold_N == fold
        found = told(feature_NF[learn_N], person_N[learn_N], weight_N[learn_N], feature_NF[tell_N])
        right_N[tell_N] = found == person_N[tell_N]
    right_G = np.bincount(place_N, weights=right_N * weight_N / 2, minlength=len(written))
    return np.minimum(right_G, 1.0)  # thirds and the like may add up to a rounding more


def _letters(texts: list[str]) -> Any:
    from sklearn.feature_extraction.text import CountVectorizer  # here: a verdict without people does not wait for it

    return CountVectorizer(analyzer="char", ngram_range=LETTERS, lowercase=False).fit_transform(texts)


def _by_letters(known: Any, person: Any, weight: Any, asked: Any) -> Any:
    from sklearn.feature_extraction.text import TfidfTransformer
    from sklearn.linear_model import LogisticRegression

    scale = TfidfTransformer(sublinear_tf=True).fit(known)
    model = LogisticRegression(solver="liblinear", random_state=0).fit(scale.transform(known), person, weight)
    return model.predict(scale.transform(asked))


def _lengths(texts: list[str]) -> NDArray[np.int64]:
    return np.array([[len(text), len(words(text))] for text in texts])


def _by_length(known: Any, person: Any, weight: Any, asked: Any) -> Any:
    from sklearn.tree import DecisionTreeClassifier

    tree = DecisionTreeClassifier(max_depth=STEPS, min_weight_fraction_leaf=0.05, random_state=0)
    return tree.fit(known, person, weight).predict(asked)
