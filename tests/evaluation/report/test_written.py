"""The report is one file that runs nothing and shows text as text, and stands when a part of it fails."""

import base64
import json
import subprocess
import sys
from hashlib import sha256

import pytest
from evaluation.report.pages import FETCHING, TAGS, Page, changed, page_of

from burnish.errors import DataError, MissingInput, UsageError
from burnish.evaluation.report import frontiers
from burnish.evaluation.report.write import write_report

HOSTILE = (
    '<script>alert(1)</script>"\'><img src=x onerror=alert(2)>&lt;b&gt; style="}*{display:none" ]]></style> '
    "\u202edlrow\u0007"
)


def test_the_same_run_gives_the_same_bytes(read_only_run, whole_html, tmp_path):
    again = write_report(read_only_run, out=tmp_path / "again.html", price=36)
    assert again.read_text(encoding="utf-8") == whole_html


def test_it_is_written_without_waiting_for_what_models_need():
    code = "import sys, burnish.evaluation.report.write; sys.exit('transformers' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def test_it_is_one_file_that_fetches_and_runs_nothing(whole_html):
    page = Page(whole_html)
    assert page.tags <= TAGS
    for name, value in page.attributes:
        assert not name.startswith("on")
        assert name != "style"
        assert name not in FETCHING or value.startswith("#")
    assert "url(" not in page.style
    assert "@import" not in page.style


def test_its_policy_allows_its_own_style_sheet_alone(whole_html):
    page = Page(whole_html)
    policy = next(value for name, value in page.attributes if name == "content" and "default-src" in value)
    digest = base64.b64encode(sha256(page.style.encode()).digest()).decode()
    assert policy == f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"


def test_text_from_the_run_stays_text(whole_run, whole_html):
    """Names, prompts, answers, the recipe, settings, versions and damaged lines: all hostile at once."""
    lock, summary = (whole_run / name for name in ("lock.json", "summary.json"))

    def rename(value):
        value["compare"][HOSTILE] = value["compare"].pop("ppo")
        value["sft"][HOSTILE] = 1.0
        value["compare"]["dpo"][HOSTILE] = 1.0

    changed(summary, rename)
    changed(
        lock,
        lambda value: value.update(name=HOSTILE, recipe=HOSTILE, set={HOSTILE: HOSTILE}, versions={HOSTILE: HOSTILE}),
    )
    changed(lock, lambda value: value["stages"]["dpo"].update(method=HOSTILE, settings={HOSTILE: HOSTILE}))
    changed(lock, lambda value: value["stages"]["compare"]["inputs"].update(by=HOSTILE, models={"a": HOSTILE}))
    changed(whole_run / "sft/DONE.json", lambda value: value.update(finished=HOSTILE))
    changed(
        whole_run / "sft/inputs.json",
        lambda value: value.update(inputs={"data": {"path": HOSTILE, "sha256": HOSTILE}}),
    )
    (whole_run / "recipe.yaml").write_text(HOSTILE)
    (whole_run / "compare/samples.jsonl").write_text(
        "".join(
            json.dumps({"prompt": HOSTILE, "answers": [HOSTILE], "scores": [1.0], "model": model}) + "\n"
            for model in ("sft", "best", "dpo", HOSTILE)
        )
        + f"{HOSTILE}\n"
    )
    html = write_report(whole_run).read_text(encoding="utf-8")
    page = Page(html)
    assert page.tags <= TAGS
    assert not any(
        name.startswith("on") or name == "style" or (name in FETCHING and not value.startswith("#"))
        for name, value in page.attributes
    )
    assert page.style.count("display:none") == Page(whole_html).style.count("display:none")
    assert "<script>alert(1)</script>" in page.text  # seen, as text
    assert "\u202e" not in html
    assert "\u0007" not in html
    assert "\\u202edlrow\\x07" in page.text


def test_a_name_does_not_reach_the_style_sheet(run_folder):
    """In a picture, quotation marks of a text stand as they are: only tags may be searched for styles."""
    name = 'x style="}p{top:7px"'
    changed(run_folder / "summary.json", lambda s: s["compare"].update({name: s["compare"].pop("dpo")}))
    page = page_of(run_folder)
    assert "top:7px" not in page.style
    assert name in page.text


def test_a_picture_that_fails_costs_only_itself(run_folder, monkeypatch, capsys):
    def fails(*_):
        raise ValueError("no <ink> left")

    monkeypatch.setattr(frontiers, "frontier", fails)
    page = page_of(run_folder)
    assert "Could not be made: Win rate of each model over its KL (ValueError: no <ink> left)" in page.text
    assert "best, dpo and ppo answer better than sft" in page.text
    assert "report: Win rate of each model over its KL could not be drawn" in capsys.readouterr().err


def test_a_section_that_fails_costs_only_itself(run_folder, capsys):
    """A verdict of text where numbers belong reaches no picture; a threads entry of text reaches no sentence."""
    changed(run_folder / "lock.json", lambda lock: lock.update(set={"seed": 1}, threads="two", versions=[1]))
    changed(run_folder / "summary.json", lambda s: s["compare"]["dpo"].update(win_rate="high", kl=None))
    text = page_of(run_folder).text
    assert "best and ppo answer better than sft" in text
    assert "How to repeat it" in text
    assert capsys.readouterr().err == ""


def test_a_damaged_line_is_told_and_left_out(run_folder):
    (run_folder / "sft/metrics.jsonl").write_text('{"step": 1, "loss": 3}\n{"step": 2, "lo')
    text = page_of(run_folder).text
    assert f"{run_folder}/sft/metrics.jsonl:2: not a JSON object; left out" in text


def test_a_run_that_is_not_done_has_a_report_of_what_is(run_folder):
    changed(run_folder / "summary.json", lambda s: [s.pop(name) for name in ("ppo", "compare")])
    for name in ("ppo", "compare"):
        for path in (run_folder / name).iterdir():
            path.unlink()
    text = page_of(run_folder).text
    assert "8 stages, no verdict yet" in text
    assert "6 of 8 stages done" in text
    assert "not done yet" in text


def test_names_in_any_script_are_drawn(run_folder):
    """matplotlib's own font has no Chinese; the reader's browser has, so nothing is warned of."""
    changed(run_folder / "summary.json", lambda s: s["compare"].update({"影评$x_1$": s["compare"].pop("dpo")}))
    html = write_report(run_folder).read_text(encoding="utf-8")
    assert html.count("影评$x_1$") >= 4


def test_a_folder_without_a_run_is_told(tmp_path):
    with pytest.raises(MissingInput, match=r"neither lock\.json nor summary\.json"):
        write_report(tmp_path)


def test_a_damaged_summary_is_told(run_folder):
    (run_folder / "summary.json").write_text('{"sft": ')
    with pytest.raises(DataError, match=r"summary\.json: damaged"):
        write_report(run_folder)


def test_it_is_written_where_it_is_wanted(run_folder, tmp_path):
    path = write_report(run_folder, out=tmp_path / "elsewhere.html")
    assert path == tmp_path / "elsewhere.html"
    assert "ppo answer better than sft" in path.read_text(encoding="utf-8")
    assert not (run_folder / "report.html").exists()
    assert write_report(run_folder, out=tmp_path / "new/dir/it.html").is_file()


def test_it_is_not_written_over_a_folder(run_folder, tmp_path):
    (tmp_path / "reports").mkdir()
    with pytest.raises(UsageError, match=r"is a folder; name the file, such as .*reports/report\.html"):
        write_report(run_folder, out=tmp_path / "reports")
    (tmp_path / "a").write_text("mine")
    with pytest.raises(UsageError, match="what stands above it is a file"):
        write_report(run_folder, out=tmp_path / "a/report.html")
