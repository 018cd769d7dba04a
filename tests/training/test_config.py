import pytest
from pydantic import Field

from burnish.errors import ConfigError, UsageError
from burnish.training.config import MethodConfig, resolve, settings_from


class Config(MethodConfig):
    beta: float = Field(0.1, gt=0, description="price of a nat")


def told(**given: object) -> list[str]:
    with pytest.raises(ConfigError) as error:
        resolve(Config, given, where=lambda path: "sft." + ".".join(map(str, path)))
    return str(error.value).splitlines()


def test_a_method_may_have_its_own_keys_and_keeps_the_shared_ones():
    config = resolve(Config, {"beta": 0.3})
    assert (config.beta, config.batch_size) == (0.3, 8)


def test_a_number_that_yaml_reads_as_text_is_a_number():
    assert resolve(Config, {"learning_rate": "1e-5"}).learning_rate == 1e-5


def test_everything_wrong_is_told_at_once_in_the_order_it_was_written():
    lines = told(learing_rate=1, epochs=0, batch_size="many", beta=-1)
    assert lines == [
        "sft.learing_rate: unknown key; did you mean learning_rate?",
        "sft.epochs: must be greater than 0; found number 0 "
        "(passes over the data; 1 where neither this nor steps is set)",
        'sft.batch_size: must be a valid integer; found text "many" (groups a step, over all ranks)',
        "sft.beta: must be greater than 0; found number -1 (price of a nat)",
    ]


@pytest.mark.parametrize(("key", "ours"), [("lr", "learning_rate"), ("kl_coef", "beta"), ("max_steps", "steps")])
def test_a_name_of_other_trainers_leads_to_ours(key: str, ours: str):
    assert told(**{key: 1}) == [f"sft.{key}: unknown key; here it is called {ours}"]


def test_a_key_in_a_group_is_told_with_its_path():
    assert told(lora={"rnk": 8}) == ["sft.lora.rnk: unknown key; did you mean rank?"]


def test_epochs_and_steps_together_are_refused():
    assert told(epochs=1, steps=5) == ["sft.steps: epochs and steps are both set; keep one (null unsets the other)"]


def test_yes_is_not_the_number_one():
    assert told(epochs=True) == ["sft.epochs: must be a number; found true"]


def test_a_word_that_yaml_takes_for_a_truth_value_is_explained():
    assert "put the word in quotes" in told(template=False)[0]


@pytest.mark.parametrize("value", [float("nan"), float("inf"), "inf", 0, -1e-5])
def test_a_rate_that_is_no_rate_is_refused(value: object):
    assert len(told(learning_rate=value)) == 1


def test_a_near_choice_is_offered():
    assert told(schedule="cosin") == [
        'sft.schedule: must be cosine, linear or constant; found text "cosin"; did you mean cosine?'
    ]


def test_a_group_says_which_keys_it_has():
    assert told(lora=True) == ["sft.lora: must be a group of keys (rank, alpha, dropout, targets); found true"]


def test_checks_to_skip_are_one_name_or_several():
    assert resolve(Config, {"skip_check": "mask,score"}).skip_check == ("mask", "score")
    assert resolve(Config, {"skip_check": ["mask"]}).skip_check == ("mask",)


def test_dots_open_groups():
    assert settings_from(["lora.rank=8", "lora.alpha=16", "template=chat", "stop=[a, b]"]) == {
        "lora": {"rank": 8, "alpha": 16},
        "template": "chat",
        "stop": ["a", "b"],
    }


@pytest.mark.parametrize("pairs", [["beta"], ["=1"], ["a..b=1"], ["a=1", "a=2"], ["a=1", "a.b=2"], ["a={"]])
def test_a_setting_that_cannot_be_read_is_a_usage_error(pairs: list[str]):
    with pytest.raises(UsageError, match="--set"):
        settings_from(pairs)


def test_a_setting_makes_no_python_object():
    with pytest.raises(UsageError):
        settings_from(["a=!!python/object/apply:os.getcwd []"])
