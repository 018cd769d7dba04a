"""Settings say what cannot be, and what cannot be while training."""

from typing import Any

import pytest
from pydantic import ValidationError

from burnish.errors import ConfigError
from burnish.rollout.settings import Sampling


@pytest.mark.parametrize(
    ("name", "value"),
    [("top_k", 50), ("top_p", 0.9), ("min_p", 0.1), ("repetition_penalty", 1.1), ("stop", ("\n",)), ("temperature", 0)],
)
def test_what_a_training_pass_cannot_follow_is_refused_while_training(name: str, value: Any):
    with pytest.raises(ConfigError, match=rf"sampling\.{name}"):
        Sampling.model_validate({name: value}).for_training()


def test_temperature_and_lengths_are_allowed_while_training():
    Sampling(temperature=0.7, max_new_tokens=9, min_new_tokens=3).for_training()


def test_all_troubles_are_told_at_once():
    with pytest.raises(ConfigError, match=r"top_k(.|\n)*top_p"):
        Sampling(top_k=3, top_p=0.5).for_training()


def test_lengths_that_contradict_each_other_are_refused():
    with pytest.raises(ValidationError, match="min_new_tokens 9 is above max_new_tokens 4"):
        Sampling(max_new_tokens=4, min_new_tokens=9)


def test_an_empty_stop_string_is_refused():
    with pytest.raises(ValidationError, match="stands in every answer"):
        Sampling(stop=("",))


def test_what_a_stop_string_may_still_take_away_is_not_certain():
    sampling = Sampling(stop=("User:", "\n\n"))
    certain = {"a Us": "a ", "a User": "a ", "a User: b": "a ", "a\n": "a", "a\nb": "a\nb"}
    assert {text: sampling.certain(text) for text in certain} == certain
