"""The report in another language: every word of it, and nothing of what the run itself said."""

import json
import re
from html.parser import HTMLParser
from string import Formatter

import pytest
from evaluation.report.made_up import write_more, write_run, write_votes

from burnish.errors import UsageError
from burnish.evaluation.language import LANGUAGES, language_of
from burnish.evaluation.report.words import CURVES, FACTS, ROWS, TEXTS
from burnish.evaluation.report.write import write_report, write_side_by_side

ENGLISH = re.compile(r"[a-z]{2,}(?:[ ,;]+[a-z]{2,}){2,}", re.IGNORECASE)
"""Three words in a row: names of models and figures stand alone."""
QUOTED = {"pre", "code", "style", "title"}


class Said(HTMLParser):
    """What the page itself says: texts and labels outside of prompts, answers, settings and code."""

    def __init__(self, html):
        super().__init__()
        self.inside, self.said = [], []
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        attributes = dict(attrs)
        quoted = tag in QUOTED or attributes.get("class") == "prompt"
        if tag not in ("br", "meta", "link"):
            self.inside.append((tag, quoted))
        if not any(quoted for _, quoted in self.inside):
            self.said += [attributes[name] for name in ("aria-label", "title") if name in attributes]

    def handle_startendtag(self, tag, attrs):
        self.handle_starttag(tag, attrs)
        self.handle_endtag(tag)

    def handle_endtag(self, tag):
        while self.inside and self.inside.pop()[0] != tag:
            pass

    def handle_data(self, data):
        if not any(quoted for _, quoted in self.inside):
            self.said.append(data)


def english_in(html):
    return [found.group() for text in Said(html).said if (found := ENGLISH.search(text))]


def fields(text):
    return {name for _, name, _, _ in Formatter().parse(text) if name is not None}


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_text_is_there_in_every_language_and_names_the_same(language):
    assert TEXTS[language].keys() == TEXTS["en"].keys()
    assert {key: fields(text) for key, text in TEXTS[language].items()} == {
        key: fields(text) for key, text in TEXTS["en"].items()
    }


def test_every_known_figure_has_its_words():
    keys = {f"row.{row.name}{end}" for row in ROWS for end in ("", ".means") if "prompts" not in row.name} | {
        f"fact.{name}" for name in FACTS
    }
    keys |= {f"curve.{first}{end}" for first, *_ in CURVES for end in ("", ".means")}
    keys |= {f"curve.{first}.{key}" for first, *rest in CURVES if rest for key in (first, *rest) if key != "loss"}
    assert keys <= TEXTS["en"].keys()


def test_a_report_in_chinese_has_no_english_sentence(whole_run, whole_html):
    """With everything that a report can show, warnings and a damaged line too."""
    write_votes(whole_run)
    write_more(whole_run)
    summary = json.loads((whole_run / "summary.json").read_text())
    equal = {"win_rate_controlled": 0.52, "win_rate_controlled_low": 0.47, "win_rate_controlled_high": 0.57}
    summary["compare"]["dpo"] |= equal
    summary["compare"]["ppo"] |= {"win_rate_low": 0.45}
    (whole_run / "summary.json").write_text(json.dumps(summary))
    with (whole_run / "sft/metrics.jsonl").open("a") as file:
        file.write("{\n")
    assert len(english_in(whole_html)) > 50  # it would be found
    html = write_report(whole_run, language="zh", price=2).read_text(encoding="utf-8")
    assert english_in(html) == []
    assert '<html lang="zh-Hans">' in html
    assert "best 和 dpo 的回答优于 sft；ppo 则不然" in html
    assert "best 优于 sft：在 73% 的提示上胜出 [69–76]，KL 为 1.3 奈特，回答短 4%" in html
    assert "长度相同时，dpo 的胜率为 52% [47–57]：优势可能只来自长度。" in html
    assert "两者都下降：较好的回答 −3.0，较差的回答 −9.2" in html


def test_runs_side_by_side_in_chinese_have_none_either(run_folder, tmp_path):
    other = write_run(tmp_path / "other", curves=False)
    html = write_side_by_side([run_folder, other], tmp_path / "both.html", language="zh").read_text(encoding="utf-8")
    assert english_in(html) == []
    assert "demo 和 other 对照" in html


def test_the_report_speaks_the_recipes_language(run_folder):
    lock = json.loads((run_folder / "lock.json").read_text())
    (run_folder / "lock.json").write_text(json.dumps(lock | {"language": "zh"}))
    assert '<html lang="zh-Hans">' in write_report(run_folder).read_text(encoding="utf-8")
    assert '<html lang="en">' in write_report(run_folder, language="en").read_text(encoding="utf-8")


def test_a_language_that_there_is_not_is_told():
    assert language_of("zh") == "zh"
    with pytest.raises(UsageError, match=r'--language text "fr": there is en and zh'):
        language_of("fr")
