import json

import pytest

from burnish.errors import ConfigError
from burnish.training.identity import allowing, differences, refuse_another

BEFORE = {"settings": json.dumps({"learning_rate": 1e-5, "adam": {"beta1": 0.9}}), "rows": "aa", "model": "bb"}


def now(learning_rate: float = 1e-5, beta1: float = 0.9, rows: str = "aa") -> dict[str, str]:
    settings = json.dumps({"learning_rate": learning_rate, "adam": {"beta1": beta1}})
    return {"settings": settings, "rows": rows, "model": "bb"}


def test_the_same_run_has_no_differences():
    assert differences(BEFORE, now()) == []


def test_each_setting_that_differs_is_named_alone():
    assert differences(BEFORE, now(learning_rate=1e-4, beta1=0.8)) == [
        "  learning_rate: 1e-05 then, 0.0001 now",
        "  adam.beta1: 0.9 then, 0.8 now",
    ]


def test_what_was_allowed_may_differ_and_nothing_else():
    with allowing(["learning_rate", "adam"]):
        assert differences(BEFORE, now(learning_rate=1e-4, beta1=0.8)) == []
        assert differences(BEFORE, now(rows="cc")) == ["  rows: aa then, cc now"]
    assert len(differences(BEFORE, now(learning_rate=1e-4))) == 1


def test_data_by_the_name_that_a_recipe_gives_it_may_differ():
    with allowing(["data"]):
        assert differences(BEFORE, now(rows="cc")) == []


def test_another_is_refused_with_what_differs_and_what_to_do():
    refuse_another(BEFORE, now(), "a was made by another")
    with pytest.raises(ConfigError, match=r"^a was made by another:\n  rows: aa then, cc now\nTo go on, put back"):
        refuse_another(BEFORE, now(rows="cc"), "a was made by another")
