import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from recipes.conftest import Workplace

from burnish.errors import ConfigError, DataError, NotOurs
from burnish.evaluation.gate import RequirementError
from burnish.recipes.load import one_stage
from burnish.recipes.run import run, run_stage
from burnish.recipes.stages import METHODS

CHAIN = """\
name: chain
model: model
stages:
  first: {method: write, model: base, data: data.jsonl, text: one}
  second: {method: write, model: first, data: data.jsonl, reference: base}
"""


def quiet(line: str) -> None:
    pass


def go(
    place: Workplace, text: str = CHAIN, *, settings: dict[str, Any] | None = None, **options: Any
) -> dict[str, Any]:
    return run(place.load(text, settings), place.out, tell=quiet, **options)


def test_a_stage_gets_what_the_one_before_it_left(place: Workplace, fake_methods: list[dict[str, Any]]):
    go(place)
    first, second = fake_methods
    assert first["model"] == place.path / "model"
    assert first["data"] == [place.path / "data.jsonl"]
    assert second["model"] == place.out / "first/model"
    assert second["reference"] == place.path / "model"
    assert [call["out"] for call in fake_methods] == [place.out / "first", place.out / "second"]


def test_the_run_folder_says_what_went_in_and_what_came_out(place: Workplace):
    summary = go(place, settings={"second": {"beta": 0.3}})
    assert summary == {"first": {"loss": 1.5, "beta": 0.1}, "second": {"loss": 1.5, "beta": 0.3}}
    assert json.loads((place.out / "summary.json").read_text()) == summary
    assert (place.out / "recipe.yaml").read_text() == CHAIN
    assert (place.out / "report.html").read_text().startswith("<!doctype html>")
    lock = json.loads((place.out / "lock.json").read_text())
    assert lock["versions"]["torch"].startswith("2.")
    assert lock["threads"] >= 1
    assert lock["stages"]["second"]["settings"]["beta"] == 0.3
    inputs = json.loads((place.out / "second/inputs.json").read_text())["inputs"]
    assert inputs["model"]["stage"] == "first"
    assert inputs["data"][0]["lines"] == 1
    done = json.loads((place.out / "first/DONE.json").read_text())
    assert done["outputs"]["model/weights"]["bytes"] == len("one")


def test_a_second_call_does_nothing(place: Workplace, fake_methods: list[dict[str, Any]]):
    first = go(place)
    fake_methods.clear()
    assert go(place) == first
    assert fake_methods == []


def test_a_stage_that_is_added_runs_alone(place: Workplace, fake_methods: list[dict[str, Any]]):
    go(place)
    fake_methods.clear()
    go(place, CHAIN + "  third: {method: answer, model: second}\n")
    assert [call["out"].name for call in fake_methods] == ["third"]


def test_a_stage_that_fails_stops_the_run_and_goes_on_when_it_is_mended(
    place: Workplace, fake_methods: list[dict[str, Any]]
):
    (place.path / "bad.jsonl").write_text("fail")
    text = CHAIN.replace("first, data: data.jsonl", "first, data: bad.jsonl")
    with pytest.raises(DataError, match="the data says fail") as error:
        go(place, text)
    assert error.value.__notes__ == [f"in stage second, {place.out / 'second'}"]
    assert (place.out / "first/DONE.json").exists()
    assert not (place.out / "second/DONE.json").exists()
    with pytest.raises(DataError):
        go(place, text)
    assert [call["out"].name for call in fake_methods] == ["first", "second", "second"]


def test_a_changed_setting_is_refused_by_name_before_anything_runs(
    place: Workplace, fake_methods: list[dict[str, Any]]
):
    go(place)
    fake_methods.clear()
    with pytest.raises(ConfigError) as error:
        go(place, settings={"second": {"beta": 0.3}, "first": {"learning_rate": 1e-3}})
    assert "first.learning_rate: 1e-05 then, 0.001 now" in str(error.value)
    assert "second.beta: 0.1 then, 0.3 now" in str(error.value)
    assert "--allow-changed first.learning_rate" in str(error.value)
    assert fake_methods == []
    assert json.loads((place.out / "lock.json").read_text())["stages"]["second"]["settings"]["beta"] == 0.1


def test_a_change_that_is_allowed_is_recorded_and_needs_no_telling_again(
    place: Workplace, fake_methods: list[dict[str, Any]]
):
    go(place)
    fake_methods.clear()
    changed = {"second": {"beta": 0.3}}
    go(place, settings=changed, allow_changed=["second.beta"])
    go(place, settings=changed)
    assert fake_methods == []
    assert json.loads((place.out / "second/inputs.json").read_text())["allowed"] == {"beta": 0.3}
    with pytest.raises(ConfigError, match=r"second\.beta: 0\.1 then, 0\.5 now"):
        go(place, settings={"second": {"beta": 0.5}})


def test_a_field_that_no_stage_has_cannot_be_allowed(place: Workplace):
    with pytest.raises(ConfigError, match=r"did you mean second\.beta\?"):
        go(place, allow_changed=["second.bta"])


def test_changed_data_is_refused_with_both_counts(place: Workplace):
    go(place)
    with (place.path / "data.jsonl").open("a") as file:
        file.write('{"prompt": "c", "response": "d"}\n')
    with pytest.raises(ConfigError, match=r"first\.data: .*1 lines\) then, .*2 lines\) now"):
        go(place)


def test_another_tokenizer_or_chat_template_is_another_model(place: Workplace):
    tokenizer = place.path / "model/tokenizer_config.json"
    tokenizer.write_text('{"chat_template": "{{ messages }}"}')
    go(place)
    tokenizer.write_text('{"chat_template": "{{ messages[1:] }}"}')
    with pytest.raises(ConfigError, match=r"first\.model: .*model \(.*\) then, .*model \(.*\) now"):
        go(place)


def test_another_commit_of_a_hub_model_is_a_change(place: Workplace, hub: Path):
    text = CHAIN.replace("model: model", "model: someone/tiny", 1)
    go(place, text)
    kept = json.loads((place.out / "first/inputs.json").read_text())["inputs"]
    assert kept["model"] == {"hub": "someone/tiny", "revision": "a" * 40}
    (hub / "refs/main").write_text("b" * 40)
    told = r"first\.model: someone/tiny \(aaaaaaaaaaaa\) then, someone/tiny \(bbbbbbbbbbbb\) now"
    with pytest.raises(ConfigError, match=told):
        go(place, text)


def test_every_input_that_may_be_a_hub_model_is_fetched():
    given = {
        "models": {"a": "org/a"},
        "base": "org/base",
        "by": "org/judge",
        "prompts": ["p.jsonl"],
        "text": ["t.jsonl"],
    }
    assert METHODS["evaluate"].naming_models(given).keys() == {"models", "base", "by"}


def test_a_hub_model_is_fetched_before_its_commit_is_written_down(
    place: Workplace, hub: Path, fake_methods: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
):
    """Else the first run would have written none, and the second would take the commit that came for a change."""
    text = CHAIN.replace("model: model", "model: someone/tiny", 1)
    current = (hub / "refs/main").read_text()
    (hub / "refs/main").unlink()

    def downloads(name: str) -> Path:
        (hub / "refs/main").write_text(current)
        return hub

    monkeypatch.setattr("burnish.recipes.artefacts.model_directory", downloads)
    go(place, text)
    fake_methods.clear()
    go(place, text)
    assert fake_methods == []


def test_data_that_was_moved_has_not_changed(place: Workplace, fake_methods: list[dict[str, Any]]):
    go(place)
    fake_methods.clear()
    (place.path / "data.jsonl").rename(place.path / "moved.jsonl")
    go(place, CHAIN.replace("data.jsonl", "moved.jsonl"))
    assert fake_methods == []


def test_how_often_to_save_may_change(place: Workplace, fake_methods: list[dict[str, Any]]):
    go(place)
    fake_methods.clear()
    go(place, settings={"save_every": 7})
    assert fake_methods == []


def test_a_stage_that_saved_nothing_starts_anew_with_other_settings(place: Workplace):
    go(place, settings={"keep_checkpoints": True})
    for name in ("DONE.json", "model/weights", "checkpoints/step-000001"):
        target = place.out / "second" / name
        target.rmdir() if target.is_dir() else target.unlink()
    (place.out / "second/model").rmdir()
    (place.out / "second/checkpoints").rmdir()
    (place.out / "second/data.rejected.jsonl").write_text("{}\n")
    assert go(place, settings={"second": {"beta": 0.3}})["second"]["beta"] == 0.3


def test_checkpoints_go_once_their_stage_is_done_unless_they_are_to_stay(place: Workplace):
    go(place, settings={"second": {"keep_checkpoints": True}})
    assert not (place.out / "first/checkpoints").exists()
    assert (place.out / "second/checkpoints/step-000001").exists()
    (place.out / "first/.trash-checkpoints-0a1b2c3d/step-000001").mkdir(parents=True)
    go(place)  # as after a kill between DONE.json and their removal, or amid it
    assert not (place.out / "second/checkpoints").exists()
    assert not list(place.out.rglob(".trash-*"))


def test_a_result_that_was_damaged_is_named(place: Workplace):
    go(place)
    (place.out / "first/model/weights").write_text("longer")
    with pytest.raises(DataError, match=r"first/model/weights: 3 bytes when the stage was done, 6 bytes now"):
        go(place)


def test_a_folder_that_others_made_is_left_as_it_is(place: Workplace):
    place.out.mkdir()
    (place.out / "thesis.tex").write_text("mine")
    with pytest.raises(NotOurs, match=r"thesis\.tex"):
        go(place)
    assert [p.name for p in place.out.iterdir()] == ["thesis.tex"]


def test_a_run_of_another_recipe_is_left_as_it_is(place: Workplace):
    go(place)
    with pytest.raises(NotOurs, match="is a run of chain, not of other"):
        go(place, CHAIN.replace("name: chain", "name: other"))


def test_a_folder_that_cannot_be_written_is_told(place: Workplace):
    place.out.write_text("a file")
    with pytest.raises(NotOurs, match="is a file"):
        go(place)


def test_a_run_that_another_process_holds_is_refused(place: Workplace):
    code = (
        "import sys, pathlib; from burnish.recipes.folder import held\n"
        "with held(pathlib.Path(sys.argv[1])): print('held', flush=True); sys.stdin.read()"
    )
    other = subprocess.Popen(
        [sys.executable, "-c", code, place.out], stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=os.environ
    )
    with other:
        assert other.stdout is not None
        assert other.stdout.readline() == b"held\n"
        with pytest.raises(NotOurs, match=f"held by process {other.pid} on "):
            go(place)
        other.kill()
    go(place)  # the lock died with its process


def test_other_threads_are_warned_of_and_recorded(place: Workplace):
    go(place)
    lock = json.loads((place.out / "lock.json").read_text())
    lock["threads"] += 1
    (place.out / "lock.json").write_text(json.dumps(lock))
    told: list[str] = []
    run(place.load(CHAIN), place.out, tell=told.append)
    assert sum(line.startswith("warning: threads:") for line in told) == 1
    assert len(json.loads((place.out / "lock.json").read_text())["history"]) == 1


def test_models_to_compare_go_by_their_stages_names(place: Workplace, fake_methods: list[dict[str, Any]]):
    text = CHAIN + "  compare: {method: judge, models: [base, first, second], by: base}\n"
    summary = go(place, text)
    assert list(fake_methods[-1]["models"]) == ["base", "first", "second"]
    assert fake_methods[-1]["models"]["second"] == place.out / "second/model"
    assert summary["compare"]["first"]["win_rate"] == 0.6


def test_each_makes_a_stage_a_value(place: Workplace, fake_methods: list[dict[str, Any]]):
    text = CHAIN + (
        "  many: {method: write, model: first, data: data.jsonl, each: {beta: [1e-2, 0.3]}}\n"
        "  compare: {method: judge, models: [many], by: base}\n"
    )
    summary = go(place, text)
    assert summary["many/beta=1e-2"]["beta"] == 0.01
    assert summary["many/beta=0.3"]["beta"] == 0.3
    assert (place.out / "many/beta=0.3/model/weights").exists()
    assert list(fake_methods[-1]["models"]) == ["many/beta=1e-2", "many/beta=0.3"]


def test_one_command_is_a_stage_without_a_recipe(place: Workplace, fake_methods: list[dict[str, Any]]):
    stage = one_stage("write", {"model": "model", "data": ["data.jsonl"]}, {"beta": "3e-1"})
    for _ in range(2):
        assert run_stage(stage, place.out, tell=quiet) == {"loss": 1.5, "beta": 0.3}
    assert len(fake_methods) == 1
    assert (place.out / "model/weights").exists()
    assert (place.out / "DONE.json").exists()
    with pytest.raises(ConfigError, match=r"write\.beta: 0\.3 then, 0\.1 now"):
        run_stage(one_stage("write", {"model": "model", "data": ["data.jsonl"]}, {}), place.out, tell=quiet)


def test_secrets_do_not_reach_the_run_folder(place: Workplace, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("MY_API_KEY", "canary-in-the-mine")
    secrets = ["canary-in-the-mine", "hf_abcdefghij", "sk-abcdefghij", "user:secretword@", "tokenvalue1"]
    address = "https://user:secretword@example.org/?token=tokenvalue1"
    said = f"{address} hf_abcdefghij sk-abcdefghij canary-in-the-mine"
    go(place, CHAIN + f"  third: {{method: answer, model: second, text: '{said}'}}\n")
    files = [p for p in place.out.rglob("*") if p.is_file()]
    assert len(files) > 8
    for file in files:
        assert not [secret for secret in secrets if secret in file.read_text()], file


def test_a_report_that_fails_costs_no_result(place: Workplace, monkeypatch: pytest.MonkeyPatch):
    def fails(run: Path) -> Path:
        raise ZeroDivisionError("no curves")

    monkeypatch.setattr("burnish.evaluation.report.write.write_report", fails)
    told: list[str] = []
    assert run(place.load(CHAIN), place.out, tell=told.append)["first"]["loss"] == 1.5
    assert told[-1] == f"report failed: ZeroDivisionError: no curves; once it is mended: burnish report {place.out}"


def test_the_report_is_in_the_recipe_s_language(place: Workplace):
    go(place, "language: zh\n" + CHAIN)
    assert '<html lang="zh-Hans">' in (place.out / "report.html").read_text(encoding="utf-8")


def test_the_run_folder_is_named_after_the_recipe(place: Workplace):
    run(place.load(CHAIN), tell=quiet)
    assert Path("runs/chain/summary.json").exists()


COMPARE = "  compare: {method: judge, models: [base, first, second], by: base, require: REQUIRE}\n"


def test_a_recipe_s_verdict_is_a_gate_once_everything_is_written(place: Workplace):
    """Every model but the first wins on 60 % [55–65]."""
    text = CHAIN + COMPARE.replace("REQUIRE", "[win_rate_low > 0.5, second.win_rate > 0.7]")
    for _ in range(2):  # the second call does nothing, and the verdict is no better
        with pytest.raises(RequirementError) as caught:
            go(place, text)
        assert str(caught.value) == "compare: not met: second.win_rate > 0.7; it is 0.6"
        assert caught.value.exit_code == 1
    assert (place.out / "compare/DONE.json").exists()
    assert "compare" in json.loads((place.out / "summary.json").read_text())
    assert (place.out / "report.html").exists()


def test_a_requirement_may_change_at_any_time(place: Workplace, fake_methods: list[dict[str, Any]]):
    told: list[str] = []
    with pytest.raises(RequirementError):
        run(place.load(CHAIN + COMPARE.replace("REQUIRE", "win_rate > 0.7")), place.out, tell=quiet)
    run(place.load(CHAIN + COMPARE.replace("REQUIRE", "win_rate < 0.7")), place.out, tell=told.append)
    assert "compare: first is preferred to base on 60 % of prompts [55–65]" in told
    assert len(fake_methods) == 3


@pytest.mark.parametrize(
    ("require", "told"),
    [
        ("win_rate > kl", r"recipe.yaml:6: compare.require: 'win_rate > kl': expected \[MODEL.\]FIGURE > NUMBER"),
        ("win > 0.5", "recipe.yaml:6: compare.require: .*no figure win"),
        (
            "frist.kl < 8",
            r"recipe.yaml:6: compare.require: .*no model is called frist; did you mean first\?; there are",
        ),
    ],
)
def test_what_cannot_be_required_is_told_before_anything_runs(place: Workplace, require: str, told: str):
    with pytest.raises(ConfigError, match=told):
        place.load(CHAIN + COMPARE.replace("REQUIRE", require))
