"""Whoever `by:` names is found, or told why not, and code runs only where it is allowed."""

import pytest

from burnish.errors import ConfigError, DataError, MissingInput
from burnish.rewards.by import Allowed, check, model_name, parts, text_reward, weighted
from burnish.rewards.judges import Judge

LENGTHS = "def score(prompts, answers):\n    return [len(a) for a in answers]\n"


@pytest.fixture
def place(tmp_path):
    (tmp_path / "mine.py").write_text(LENGTHS)
    return Allowed(place=tmp_path, code=True)


def test_a_shipped_judge_is_found_by_name():
    (part,) = parts("judges:favourable-b")
    assert isinstance(part.judge, Judge)
    assert part.name == "judges:favourable-b"


def test_a_function_beside_the_recipe_scores(place, capsys):
    assert text_reward("mine:score", allowed=place)(["p", "p"], ["a", "abc"]) == [1.0, 3.0]
    assert "mine:score: runs with your rights, from" in capsys.readouterr().err


def test_a_function_may_use_its_neighbours(place):
    (place.place / "helper.py").write_text("FACTOR = 2\n")
    (place.place / "more").mkdir()
    (place.place / "more/mine.py").write_text(
        "import helper\ndef score(prompts, answers):\n    return [helper.FACTOR for _ in answers]\n"
    )
    assert text_reward("more.mine:score", allowed=place)(["p"], ["a"]) == [2.0]


def test_without_leave_no_code_runs(place):
    (place.place / "trap.py").write_text("raise SystemExit('ran')\n")
    with pytest.raises(ConfigError, match="--allow-code"):
        text_reward("trap:score", allowed=Allowed(place=place.place))


def test_a_check_runs_no_code(place):
    (place.place / "trap.py").write_text("raise SystemExit('ran')\n")
    check(["trap:score", "judges:favourable-a", "https://host/score"], allowed=place)


def test_what_is_installed_is_never_taken(place):
    with pytest.raises(MissingInput, match="beside the recipe"):
        text_reward("os:getcwd", allowed=place)
    with pytest.raises(MissingInput, match="beside the recipe"):
        text_reward("os.path:join", allowed=place)


def test_a_file_beside_the_recipe_hides_nothing_installed(place):
    (place.place / "json.py").write_text("raise SystemExit('shadowed')\n")
    (place.place / "uses.py").write_text("import json\ndef score(prompts, answers):\n    return json.loads('[1]')\n")
    assert text_reward("uses:score", allowed=place)(["p"], ["a"]) == [1.0]


def test_a_link_that_leaves_the_folder_is_refused(place, tmp_path_factory):
    outside = tmp_path_factory.mktemp("outside") / "far.py"
    outside.write_text(LENGTHS)
    (place.place / "far.py").symlink_to(outside)
    with pytest.raises(ConfigError, match="outside the recipe's folder"):
        text_reward("far:score", allowed=place)


@pytest.mark.parametrize("name", ["..mine:score", "/etc/passwd:score", "mine:score()", "mine:", ":score", "a b:c"])
def test_what_is_no_name_is_nobody(name, place):
    with pytest.raises(ConfigError, match="nobody who judges"):
        text_reward(name, allowed=place)


def test_a_misspelt_function_is_told_the_near_one(place):
    with pytest.raises(ConfigError, match="no function scor; did you mean score"):
        text_reward("mine:scor", allowed=place)
    with pytest.raises(MissingInput, match=r"did you mean mine\.py"):
        text_reward("min:score", allowed=place)


def test_a_file_that_is_no_python_is_told_with_its_line(place):
    (place.place / "broken.py").write_text("x = 1\ndef score(:\n")
    with pytest.raises(ConfigError, match=r"broken\.py:2: "):
        text_reward("broken:score", allowed=place)


@pytest.mark.parametrize(
    "returned, message",
    [
        ("[1.0]", "need as many scores; found 1"),
        ("[1.0, float('nan')]", r'prompt 2 \("second"\) is no finite number; found nan'),
        ("[1.0, 'good']", r'prompt 2 \("second"\) is no finite number; found text "good"'),
        ("[True, 1.0]", "found true"),
        ("[10**400, 1]", r'prompt 1 \("first"\)'),
        ("None", "a list of scores is wanted; found null"),
        ("'ab'", "a list of scores is wanted"),
    ],
)
def test_a_function_that_gives_no_scores_is_told_the_prompt(place, returned, message):
    (place.place / "bad.py").write_text(f"def score(prompts, answers):\n    return {returned}\n")
    with pytest.raises(DataError, match=message):
        text_reward("bad:score", allowed=place)(["first", "second"], ["a", "b"])


def test_tensors_and_arrays_are_scores_too(place):
    (place.place / "torched.py").write_text(
        "import torch\ndef score(prompts, answers):\n    return torch.tensor([0.5] * len(answers))\n"
    )
    assert text_reward("torched:score", allowed=place)(["p", "p"], ["a", "b"]) == [0.5, 0.5]


def test_a_function_that_fails_fails_as_itself(place):
    (place.place / "fails.py").write_text("def score(prompts, answers):\n    raise KeyError('mine')\n")
    with pytest.raises(KeyError) as caught:
        text_reward("fails:score", allowed=place)(["p"], ["a"])
    assert caught.value.__notes__ == ["raised in the reward function fails:score, on 1 answers"]


def test_a_list_is_a_weighted_sum_whose_parts_are_reported(place):
    reward = text_reward(
        [{"by": "mine:score", "weight": 2}, {"by": "mine:score", "weight": -0.5, "name": "again"}], allowed=place
    )
    scores = reward.by_part(["p", "p"], ["ab", "abcd"])
    assert scores == {"mine:score": [2.0, 4.0], "again": [2.0, 4.0]}
    assert reward(["p", "p"], ["ab", "abcd"]) == reward.total(scores) == [3.0, 6.0]


def test_two_parts_need_two_names(place):
    with pytest.raises(ConfigError, match="two parts are called mine:score"):
        parts(["mine:score", "mine:score"], allowed=place)


def test_a_reward_model_is_left_to_who_can_load_it(tmp_path):
    folder = tmp_path / "reward/model"
    (part,) = parts(folder)
    assert (part.name, part.model, part.judge) == ("reward", folder, None)
    with pytest.raises(ConfigError, match="a model cannot judge here"):
        text_reward(folder)
    loaded = text_reward(folder, model=lambda path: lambda prompts, answers: [7.0 for _ in answers])
    assert loaded(["p"], ["a"]) == [7.0]


def test_a_function_that_is_one_already_is_taken():
    (part,) = parts([{"by": lambda prompts, answers: [1.0], "name": "one", "weight": 3}])
    assert (part.name, part.weight) == ("one", 3.0)


def test_an_endpoints_settings_stand_beside_it():
    (part,) = parts({"by": "https://host/score?key=1", "timeout": 5, "retries": 1, "batch_size": 4, "weight": 2})
    assert (part.name, part.weight, part.judge.timeout, part.judge.batch_size) == ("https://host/score", 2.0, 5, 4)


@pytest.mark.parametrize(
    "by, message",
    [
        ([], "names nobody"),
        ("", "must say who judges"),
        (3, "must say who judges; found number 3"),
        ({"weight": 1.0}, "must say who judges; found null"),
        ("people", "people judge alone"),
        ("judges:nobody", "no such judge"),
        ("nobody:", "nobody who judges"),
        ({"judge": "model/dir", "rubric": "helpful?"}, "a model cannot judge here"),
        ({"by": "judges:favourable-a", "wieght": 1}, "did you mean weight"),
        ({"by": "judges:favourable-a", "weight": "1"}, "weight: must be a number"),
        ({"by": "judges:favourable-a", "weight": float("nan")}, "weight: must be a number"),
        ({"by": "judges:favourable-a", "timeout": 3}, "keys of an http address"),
        ({"by": "https://host/", "timeout": "long"}, "timeout: found text"),
        ({"by": "https://host/", "retries": 1.5}, "retries: found number"),
    ],
)
def test_whoever_is_nobody_is_told(by, message):
    with pytest.raises(ConfigError, match=message):
        text_reward(by)


def test_a_model_is_called_by_its_stage():
    assert model_name("runs/a/reward/model") == "reward"
    assert model_name("org/name") == "name"
    assert model_name("./model") == "model"


def test_weights_may_be_negative():
    assert weighted([(1.0, [1.0, 2.0]), (-2.0, [1.0, 0.5])]) == [-1.0, 1.0]
