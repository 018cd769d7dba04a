"""Telling a model's texts from people's: half where they are alike, one where they are not, the same on every call."""

import numpy as np
import pytest

from burnish.errors import ConfigError
from burnish.evaluation.told_apart import FEWEST, FOLDS, Written, folds, told_apart

LETTERS = "abcdefghijklmnop"


def texts(count: int, seed: int, ending: str = ".", length: int = 40) -> list[str]:
    chance = np.random.default_rng(seed)
    return ["".join(chance.choice([*LETTERS, " "], length)) + ending for _ in range(count)]


HABIT = "zzzzzzzz."  # people's texts have none of these letters


def written(people: list[str], model: list[str]) -> list[Written]:
    return [Written(f"prompt {i}", [one], [other]) for i, (one, other) in enumerate(zip(people, model, strict=True))]


def test_texts_from_one_source_cannot_be_told_apart():
    found = told_apart(written(texts(150, seed=2), texts(150, seed=3)))
    low, high = found["told_apart_low"], found["told_apart_high"]
    assert low is not None
    assert high is not None
    assert low < 0.5 < high


def test_a_habit_gives_a_model_away_and_its_length_may_not():
    found = told_apart(written(texts(60, seed=0), texts(60, seed=1, ending=HABIT, length=32)))
    assert (found["told_apart_low"] or 0.0) > 0.9
    assert (found["told_apart_by_length"] or 1.0) < 0.7
    assert found["told_apart_prompts"] == 60.0


def test_length_alone_tells_where_it_does():
    found = told_apart(written(texts(60, seed=0), texts(60, seed=1, length=90)))
    assert found["told_apart_by_length"] == 1.0


def test_space_around_a_text_tells_nothing():
    one, other = texts(60, seed=0), texts(60, seed=1)
    assert told_apart(written(one, other)) == told_apart(written([f" {text}\n" for text in one], other))


def test_the_order_of_prompts_changes_nothing():
    rows = written(texts(60, seed=0), texts(60, seed=1, length=44))
    assert told_apart(rows) == told_apart(rows[::-1])


def test_a_prompt_counts_once_however_many_answers_it_has():
    rows = written(texts(60, seed=0), texts(60, seed=1, ending=HABIT, length=32))
    more = [Written(one.prompt, one.people, [*one.model] * 3) for one in rows]
    assert told_apart(more)["told_apart"] == pytest.approx(told_apart(rows)["told_apart"])


def test_a_prompts_texts_are_in_one_fold_and_folds_are_of_like_size():
    prompts = [f"prompt {i % 50}" for i in range(100)]
    fold_of = folds(prompts)
    assert fold_of[:50] == fold_of[50:]
    assert [fold_of[:50].count(fold) for fold in range(FOLDS)] == [10] * FOLDS


def test_too_few_prompts_are_refused():
    few = FEWEST - 1
    with pytest.raises(ConfigError, match=rf"people: {few} of the prompts .* takes {FEWEST} at least"):
        told_apart(written(texts(few, seed=0), texts(few, seed=1)))
