"""Several runs on one page: verdicts beside each other, what was set otherwise, and the same stages' curves."""

import json
import re

import pytest
from evaluation.report.made_up import write_run
from evaluation.report.pages import TAGS, Page, changed

from burnish.evaluation.report.write import write_side_by_side


@pytest.fixture
def two(run_folder, tmp_path):
    """The second run differs in the seed, in one setting and in its figures, and has curves."""
    other = write_run(tmp_path / "runs/second", curves=False)
    changed(other / "lock.json", lambda lock: lock["stages"]["dpo"]["settings"].update(beta=0.3, seed=2))
    changed(other / "summary.json", lambda s: s["compare"]["dpo"].update(win_rate=0.654, win_rate_low=0.61))
    for folder in (run_folder, other):
        (folder / "sft/metrics.jsonl").write_text('{"step": 1, "loss": 3}\n{"step": 2, "loss": 2}\n')
    (other / "dpo/metrics.jsonl").write_text('{"step": 1, "loss": 3}\n{"step": 2, "loss": 2}\n')
    return [run_folder, other]


def written(two, tmp_path):
    return write_side_by_side(two, tmp_path / "both.html").read_text(encoding="utf-8")


def test_runs_of_one_name_are_told_apart_by_their_folders(two, tmp_path):
    assert "demo and second side by side" in Page(written(two, tmp_path)).text


def test_each_models_figures_stand_beside_each_other(two, tmp_path):
    text = Page(written(two, tmp_path)).text
    assert "Win rate · dpo 79\u202f% 76–82 65\u202f% 61–82" in text
    assert re.search("demo On 500 held-out prompts, judged by judges:favourable-b: best is preferred", text)


def test_only_settings_that_differ_are_listed(two, tmp_path):
    table = Page(written(two, tmp_path)).text.split("What was set otherwise")[1].split("The same stages")[0]
    assert "dpo.beta – 0.3" in table
    assert "dpo.seed 1 2" in table
    assert "ppo." not in table
    assert "torch" not in table


def test_runs_that_are_the_same_say_so(run_folder, tmp_path):
    html = written([run_folder, run_folder], tmp_path)
    assert "Nothing: the runs have the same settings, data and versions." in html
    assert "demo 1 and demo 2 side by side" in Page(html).text


def test_a_curve_that_two_runs_have_is_drawn_once_for_both(two, tmp_path):
    html = written(two, tmp_path)
    assert html.count('aria-label="Loss of sft over steps"') == 1
    assert "Loss of dpo over steps" not in html


def test_other_judges_prompts_and_models_to_beat_are_warned_of(two, tmp_path):
    assert "warn" not in re.sub("<style>.*</style>", "", written(two, tmp_path), flags=re.DOTALL).split("<section>")[1]
    changed(two[1] / "lock.json", lambda lock: lock["stages"]["compare"]["inputs"].update(by="judges:favourable-a"))
    rows = [json.loads(line) for line in (two[1] / "compare/samples.jsonl").read_text().splitlines()]
    (two[1] / "compare/samples.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows if row["id"] != "0"))
    text = Page(written(two, tmp_path)).text
    assert "different judges" in text
    assert "different held-out prompts" in text


def test_a_run_without_a_verdict_stands_beside_one_with(two, tmp_path):
    changed(two[1] / "summary.json", lambda summary: summary.pop("compare"))
    (two[1] / "compare/DONE.json").unlink()
    text = Page(written(two, tmp_path)).text
    assert "second 8 stages, no verdict yet." in text
    assert "Win rate · dpo 79\u202f% 76–82 –" in text


def test_nothing_in_it_runs_or_fetches(two, tmp_path):
    changed(two[1] / "lock.json", lambda lock: lock.update(name="<script>alert(1)</script>"))
    page = Page(written(two, tmp_path))
    assert page.tags <= TAGS
    assert "<script>alert(1)</script>" in page.text
    assert not any(name.startswith("on") or name in ("style", "src") for name, _ in page.attributes)
    assert written(two, tmp_path) == written(two, tmp_path)
