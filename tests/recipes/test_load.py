import inspect
import re
from pathlib import Path

import pytest
from recipes.conftest import Workplace

from burnish.errors import ConfigError, MissingInput, UsageError
from burnish.recipes.load import load, one_stage
from burnish.recipes.stages import METHODS
from burnish.training.config import MethodConfig, StageConfig

CALLERS_ONLY = {"engine"}
"""What a method takes in Python and no recipe can name."""

HEAD = "name: test\nmodel: model\nstages:\n"
FIRST = "  first: {method: write, model: base, data: data.jsonl}\n"


def told(place: Workplace, text: str, kind: type[Exception] = ConfigError) -> list[str]:
    with pytest.raises(kind) as error:
        place.load(text)
    return [line.replace(f"{place.file}:", "line ") for line in str(error.value).splitlines()]


@pytest.mark.parametrize("name", [name for name in METHODS if name not in ("write", "answer", "judge")])
def test_every_method_takes_what_its_entry_says(name: str):
    method = METHODS[name]
    parameters = inspect.signature(method.load()).parameters
    assert set(method.inputs) | {"config", "out"} == set(parameters) - CALLERS_ONLY
    config = method.config_class()
    assert issubclass(config, StageConfig)
    assert parameters["config"].annotation is config
    assert not method.inputs.keys() & config.model_fields.keys()
    required = {key for key, p in parameters.items() if p.default is p.empty} - {"config", "out"}
    assert all(required <= set(needed) for needed in method.needs)


def test_everything_wrong_is_told_at_once(place: Workplace):
    lines = told(
        place,
        "name: test\nmodel: model\nsed: 1\nstages:\n"
        "  first: {method: write, model: base, data: data.jsonl, learing_rate: 1, epochs: 0}\n"
        "  second: {method: wrte, model: first}\n"
        "  third: {method: write, model: first, data: dta.jsonl}\n",
    )
    assert lines == [
        "line 3: sed: unknown key; did you mean seed?",
        "line 5: first.learing_rate: unknown key; did you mean learning_rate?",
        "line 5: first.epochs: must be greater than 0; found number 0 "
        "(passes over the data; 1 where neither this nor steps is set)",
        'line 6: second.method: unknown method text "wrte"; did you mean write?',
        f"line 7: third.data: dta.jsonl: no such file, and no stage has this name (looked in {place.path}); "
        "did you mean data.jsonl?",
    ]


def test_many_troubles_fit_one_screen_from_the_top_of_the_file_down(place: Workplace):
    stages = "".join(f"  s{i:02}: {{method: write, model: base, data: data.jsonl, bad{i}: 1}}\n" for i in range(30))
    lines = told(place, HEAD + stages)
    assert [line.split(": ")[0] for line in lines[:20]] == [f"line {4 + i}" for i in range(20)]
    assert lines[20:] == ["… and 10 more"]


def test_files_that_are_missing_and_nothing_else_are_missing_input(place: Workplace):
    assert len(told(place, HEAD + FIRST.replace("data.jsonl", "a/b.jsonl"), MissingInput)) == 1


def test_an_unknown_stage_has_a_near_one(place: Workplace):
    lines = told(place, HEAD + FIRST + "  second: {method: write, model: frst, data: data.jsonl}\n", MissingInput)
    assert lines[0].endswith("did you mean first?")


def test_a_circle_is_shown(place: Workplace):
    text = HEAD + "".join(
        f"  {name}: {{method: write, model: {other}, data: data.jsonl}}\n" for name, other in ["ab", "bc", "ca"]
    )
    assert told(place, text) == ["line 4: a: waits for its own result: a ← b ← c ← a; break the circle"]


def test_a_stage_that_stands_before_what_it_takes_runs_after_it(place: Workplace):
    recipe = place.load(HEAD + "  second: {method: write, model: first, data: data.jsonl}\n" + FIRST)
    assert [stage.name for stage in recipe.stages] == ["first", "second"]


def test_a_model_cannot_be_read_as_records(place: Workplace):
    lines = told(place, HEAD + FIRST + "  second: {method: write, model: base, data: first}\n")
    assert lines == ["line 5: second.data: first (write) gives a model, and this takes records"]


def test_an_input_that_is_missing_says_what_it_may_be(place: Workplace):
    lines = told(place, HEAD + "  first: {method: write, model: base}\n")
    assert lines == [
        "line 4: first.data: missing; it takes a file of records (demonstration) or a stage that gives one"
    ]


def test_a_verdict_needs_prompts_and_a_judge_or_a_suite(place: Workplace):
    lines = told(place, HEAD + "  verdict: {method: evaluate, models: [base]}\n")
    assert [line.split(": ")[1] for line in lines] == ["verdict.prompts", "verdict.by"]
    assert all(line.endswith(", or in its place suite") for line in lines)
    recipe = place.load(HEAD + "  verdict: {method: evaluate, models: [base], suite: safety}\n")
    assert recipe.stage("verdict").config.suite == "safety"  # type: ignore[attr-defined]
    lines = told(place, HEAD + "  verdict: {method: evaluate, models: [base], suite: safty}\n")
    assert lines[0].endswith("did you mean safety?")
    lines = told(place, HEAD + "  verdict: {method: evaluate, models: [base], suite: null}\n")
    assert [line.split(": ")[1] for line in lines] == ["verdict.prompts", "verdict.by"]


def test_an_input_that_says_nothing_without_another_is_told(place: Workplace):
    given = "models: [base], suite: safety, prompts: data.jsonl"
    lines = told(place, HEAD + f"  verdict: {{method: evaluate, {given}}}\n")
    assert lines == ["line 4: verdict.prompts: says nothing without `by`; add that, or leave this out"]


def test_one_of_several_stages_must_be_named_where_one_is_taken(place: Workplace):
    many = "  many: {method: write, model: base, data: data.jsonl, each: {beta: [0.1, 0.2]}}\n"
    lines = told(place, HEAD + many + "  last: {method: answer, model: many}\n")
    assert "many is 2 stages (many/beta=0.1, many/beta=0.2)" in lines[0]
    recipe = place.load(HEAD + many + "  last: {method: answer, model: many/beta=0.2}\n")
    assert recipe.stage("last").parents == ("many/beta=0.2",)


def test_each_combines_several_keys_and_reaches_into_groups(place: Workplace):
    text = HEAD + (
        "  many: {method: write, model: base, data: data.jsonl, lora: {alpha: 8},"
        " each: {beta: [0.1, 0.2], lora.rank: [4, 8]}}\n"
    )
    recipe = place.load(text)
    assert [stage.name for stage in recipe.stages][:2] == ["many/beta=0.1,lora.rank=4", "many/beta=0.1,lora.rank=8"]
    assert [stage.config.lora.rank for stage in recipe.stages] == [4, 8, 4, 8]  # type: ignore[attr-defined]
    assert {stage.config.lora.alpha for stage in recipe.stages} == {8}  # type: ignore[attr-defined]


@pytest.mark.parametrize("values", ["3", "{}", "{beta: 3}", "{beta: []}", "{beta: [[1]]}", "{beta: [0.1, 0.1]}"])
def test_an_each_that_makes_no_stages_is_told(place: Workplace, values: str):
    lines = told(place, HEAD + FIRST.replace("}", f", each: {values}}}"))
    assert lines[0].startswith("line 4: first.each: ")


def test_a_wrong_value_of_each_is_told_where_it_stands(place: Workplace):
    lines = told(place, HEAD + FIRST.replace("}", ",\n    each: {beta: [0.1, -1]}}"))
    assert lines == ["line 5: first.each.beta: must be greater than 0; found number -1 (a price)"]


def test_a_shared_key_at_the_top_is_inherited_and_a_stages_own_wins(place: Workplace):
    recipe = place.load(
        "seed: 7\nmax_length: 64\nepochs: 2\n" + HEAD + FIRST.replace("}", ", max_length: 32, steps: 3}")
    )
    config = recipe.stage("first").config
    assert isinstance(config, MethodConfig)
    assert (config.seed, config.max_length, config.steps, config.epochs) == (7, 32, 3, None)
    given = recipe.stage("first").given
    assert given["seed"] == f"inherited {place.file}:1"
    assert given["max_length"] == f"given {place.file}:7"
    assert "beta" not in given


@pytest.mark.parametrize(
    "name", ["../up", "a/b", ".hidden", "con", "nul.txt", "a" * 65, '"line\\nbreak"', '"\\0"', "base", "people", "a."]
)
def test_a_stage_that_cannot_be_a_folder_is_refused(place: Workplace, name: str):
    assert len(told(place, HEAD + f"  {name}: {{method: write, model: base, data: data.jsonl}}\n")) == 1


@pytest.mark.parametrize("path", ["../../etc/passwd", "/etc/passwd", "link.jsonl", '"a\\nb"', '"a\\0b"', "a" * 300])
def test_a_path_that_leads_out_is_refused_and_shown_escaped(place: Workplace, path: str):
    (place.path / "link.jsonl").symlink_to("/etc/passwd")
    lines = told(place, HEAD + FIRST.replace("data.jsonl", path))
    assert len(lines) == 1
    assert lines[0].startswith("line 4: first.data: ")


def test_a_folder_that_the_recipe_declares_may_be_read(place: Workplace, tmp_path_factory: pytest.TempPathFactory):
    elsewhere = tmp_path_factory.mktemp("data") / "far.jsonl"
    elsewhere.write_text("{}\n")
    text = HEAD + FIRST.replace("data.jsonl", str(elsewhere))
    assert "add `roots: [" in told(place, text)[0]
    recipe = place.load(f"roots: [{elsewhere.parent}]\n" + text)
    assert recipe.stage("first").inputs["data"] == [elsewhere]


def test_what_is_typed_starts_where_it_is_typed(place: Workplace, monkeypatch: pytest.MonkeyPatch):
    (place.path / "sub").mkdir()
    (place.path / "sub/other.jsonl").write_text("{}\n")
    monkeypatch.chdir(place.path / "sub")
    recipe = place.load(HEAD + FIRST, {"first": {"data": "other.jsonl"}})
    assert recipe.stage("first").inputs["data"] == [Path("other.jsonl")]


@pytest.mark.parametrize(
    "by",
    [
        "judges:favourable-a",
        "https://example.org/score",
        "first",
        "base",
        "{by: first, weight: 2}",
        "[first, {by: judges:favourable-a, weight: 0.5}]",
    ],
)
def test_who_may_judge(place: Workplace, by: str):
    place.load(HEAD + FIRST + f"  last: {{method: judge, models: [first], by: {by}}}\n")


@pytest.mark.parametrize(
    ("by", "why"),
    [
        ("frst", "did you mean first?"),
        ("judges:favourable-c", "favourable-a"),
        ("people", "people judge alone, in the `by:` of rank, reject or evaluate"),
        ("{by: first, weigth: 2}", "did you mean weight?"),
        ("lengths:short", "--allow-code"),
        ("[]", "nobody"),
    ],
)
def test_a_judge_that_cannot_judge_is_told_before_anything_runs(place: Workplace, by: str, why: str):
    (place.path / "lengths.py").write_text("def short(prompts, answers): return [0.0] * len(answers)\n")
    lines = told(place, HEAD + FIRST + f"  last: {{method: judge, models: [first], by: {by}}}\n")
    assert lines[0].startswith("line 5: last.by")
    assert why in "\n".join(lines)


def test_who_judges_held_out_answers_is_found_as_who_gives_the_reward_is(place: Workplace):
    (place.path / "lengths.py").write_text("def short(prompts, answers): return [-float(len(a)) for a in answers]\n")
    (place.path / "prompts.jsonl").write_text('{"prompt": "a"}\n')
    text = HEAD + "  last: {method: rloo, model: base, prompts: prompts.jsonl, evaluate_on: prompts.jsonl, by: JUDGE, "
    text = text.replace("JUDGE", "'lengths:short'") + "judge: JUDGE}\n"
    place.file.write_text(text.replace("JUDGE", "[{by: 'lengths:short', weight: 2}]"))
    (short,) = load(place.file, allow_code=True).stage("last").placed(place.out)["judge"]
    assert (short.weight, short.judge(["p"], ["four"])) == (2.0, [-4.0])
    place.file.write_text(text.replace("JUDGE", "people"))
    with pytest.raises(ConfigError, match=r"last\.judge: people judge alone"):
        load(place.file, allow_code=True)


def test_what_judges_is_a_function_or_a_reward_models_folder(place: Workplace):
    (place.path / "lengths.py").write_text("def short(prompts, answers): return [-float(len(a)) for a in answers]\n")
    text = HEAD + FIRST + "  last: {method: judge, models: [first], by: [{by: 'lengths:short', weight: 2}, first]}\n"
    place.file.write_text(text)
    stage = load(place.file, allow_code=True).stage("last")
    assert stage.parents == ("first",)
    short, first = stage.placed(place.out)["by"]
    assert (short.weight, short.name, short.judge(["p"], ["four"])) == (2.0, "lengths:short", [-4.0])
    assert first.model == place.out / "first/model"


def test_a_language_model_judges_by_a_rubric_that_lies_beside_the_recipe(place: Workplace):
    (place.path / "kind.md").write_text("Kinder is better.\n")
    text = HEAD + FIRST + "  last: {method: judge, models: [first], by: {judge: first, rubric: kind.md, name: k}}\n"
    stage = place.load(text).stage("last")
    assert stage.parents == ("first",)
    (part,) = stage.placed(place.out)["by"]
    assert (part.name, part.model) == ("k", place.out / "first/model")
    assert (part.criteria.rubric, part.criteria.ask) == ("Kinder is better.", "pairs")


@pytest.mark.parametrize(
    "by, why",
    [
        ("{judge: frist, rubric: r}", "did you mean first"),
        ("{judge: first}", "rubric: what makes an answer better"),
        ("{judge: first, rubric: ../kind.md}", "kind.md"),
        ("{judge: first, rubric: other.md}", "no such file"),
    ],
)
def test_a_judge_whose_model_or_rubric_is_not_there_is_told_before_anything_runs(place: Workplace, by: str, why: str):
    with pytest.raises((ConfigError, MissingInput), match=re.escape(why)):
        place.load(HEAD + FIRST + f"  last: {{method: judge, models: [first], by: {by}}}\n")


def test_a_figure_that_a_verdict_will_not_have_is_told_before_anything_runs(place: Workplace):
    compare = "  last: {method: evaluate, models: [first], suite: safety-zh, require: safe_low > 0.8}\n"
    (line,) = told(place, HEAD + FIRST + compare)
    assert line.endswith("'safe_low > 0.8': safe_low is told by suite: safety; it has suite: safety-zh")


ADAPTED = {
    "reward": "method: reward, model: first, data: data.jsonl, lora: {rank: 4}",
    "ppo": "method: ppo, model: first, prompts: data.jsonl, by: reward, lora: {rank: 4}, critic: {kind: adapter}",
}


@pytest.mark.parametrize(
    "reward, fits",
    [
        (ADAPTED["reward"], True),
        ("method: reward, model: first, data: data.jsonl", False),
        ("method: reward, model: base, data: data.jsonl, lora: {rank: 4}", False),
    ],
    ids=["an adapter on the policy", "a whole model", "an adapter on another model"],
)
def test_a_reward_model_that_is_to_lie_on_the_policy_is_made_as_an_adapter_on_it(
    place: Workplace, reward: str, fits: bool
):
    text = HEAD + FIRST + f"  reward: {{{reward}}}\n  ppo: {{{ADAPTED['ppo']}}}\n"
    if fits:
        place.load(text)
    else:
        (line,) = told(place, text)
        assert "write lora: {rank: 16} and model: first in reward" in line


def test_one_commands_options_are_told_as_they_were_typed(place: Workplace):
    with pytest.raises(ConfigError) as error:
        one_stage("write", {"model": "model", "data": ["nowhere.jsonl"]}, {"bta": 1, "lora": {"rank": 0}})
    lines = str(error.value).splitlines()
    assert lines[0].startswith("--set bta: unknown key; did you mean beta?")
    assert lines[1].startswith("--set lora.rank: must be greater than or equal to 1")
    assert lines[2].startswith("--data.0: nowhere.jsonl: no such file") or lines[2].startswith("--data: nowhere.jsonl")


def test_an_option_and_a_setting_cannot_say_the_same_thing(place: Workplace):
    with pytest.raises(UsageError, match="--model gives it already"):
        one_stage("write", {"model": "model", "data": ["data.jsonl"]}, {"model": "other"})


def test_the_report_s_language_is_the_recipe_s(place: Workplace):
    assert place.load(HEAD + FIRST).language == "en"
    assert place.load("language: zh\n" + HEAD + FIRST).language == "zh"
    assert told(place, "language: fr\n" + HEAD + FIRST) == ['line 1: language: must be one of en, zh; found text "fr"']
