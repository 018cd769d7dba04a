"""Own scores equal scikit-learn's, and survive a file."""

import json
import math

import numpy as np
import pytest

from burnish.errors import DataError
from burnish.rewards import linear

TEXTS = [
    "a warm and funny film.",
    "funny, warm, and very funny!",
    "warm film about a family.",
    "a dull and lifeless film.",
    "lifeless, dull, and very long.",
    "dull film about nothing.",
]
LABELS = [True, True, True, False, False, False]


def test_words_and_pairs_leave_marks_out():
    assert linear.word_features("A film, again.") == ["a", "film", "again", "a film", "film again"]


def test_letters_stay_inside_a_word():
    assert linear.letter_features("fun x") == [" fu", "fun", "un ", " fun", "fun ", " fun ", " x "]


def test_naive_bayes_of_one_word_is_its_ratio():
    """Laplace: (1 + 1) / (1 + 2) with the label that it stands in, (0 + 1) / (1 + 2) with the other: log 2."""
    judge = linear.fit_naive_bayes(["good", "bad"], [True, False])
    assert judge.log_odds("good") == pytest.approx(math.log(2), abs=1e-4)
    assert judge.log_odds("bad") == pytest.approx(-math.log(2), abs=1e-4)
    assert judge.log_odds("unknown") == 0.0


def test_certainty_grows_with_the_root_of_the_words():
    """Two words that say the same and make one unseen pair: 2 log 2 / √3, not 2 log 2."""
    judge = linear.NaiveBayes(0.0, {"fine": math.log(2), "good": math.log(2)})
    assert judge.log_odds("good fine") == pytest.approx(2 * math.log(2) / math.sqrt(3))


def test_regression_scores_as_scikit_learn_does():
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline, make_union

    def block(analyser):
        return TfidfVectorizer(analyzer=analyser, sublinear_tf=True, min_df=2)

    theirs = make_pipeline(
        make_union(block(linear.word_features), block(linear.letter_features)), LogisticRegression(C=1.0, max_iter=1000)
    ).fit(TEXTS, np.array(LABELS))
    ours = linear.fit_regression(TEXTS, LABELS)
    seen = [*TEXTS, "a funny dull family, warm warm warm", "nothing that was seen: zzz"]
    assert [ours.log_odds(text) for text in seen] == pytest.approx(theirs.decision_function(seen).tolist(), abs=2e-3)


@pytest.mark.parametrize("fit", [linear.fit_naive_bayes, linear.fit_regression])
def test_a_file_keeps_every_score(fit):
    judge = fit(TEXTS, LABELS)
    again = linear.from_json(json.loads(json.dumps(linear.to_json(judge))))
    assert [again.log_odds(text) for text in TEXTS] == [judge.log_odds(text) for text in TEXTS]


@pytest.mark.parametrize(
    "value",
    [
        {},
        [],
        {"kind": "forest"},
        {"kind": "naive_bayes", "bias": 0.0, "weight": {"a": math.nan}},
        {"kind": "naive_bayes", "bias": True, "weight": {}},
        {"kind": "regression", "bias": 0.0, "word": {"texts": 1, "features": {"a": [1.0]}}},
    ],
)
def test_what_is_no_judge_is_refused(value):
    with pytest.raises(DataError):
        linear.from_json(value)
