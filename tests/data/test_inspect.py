"""What a model gets of a file is shown, with what it learns marked; and the commands print it safely."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from burnish.batch.trees import judge
from burnish.data.inspect import inspect, segments, skeleton
from burnish.data.problems import for_terminal, json_for_terminal
from burnish.data.read import examine
from burnish.data.templates import resolve
from burnish.types import Message
from tests.data import chat_templates as real

REAL = Path(__file__).parent / "real"


@pytest.fixture(scope="module")
def chat(make_tokenizer):
    return resolve(make_tokenizer(chat_template=real.CHATML))


def shown(report, row=0, path=0):
    return "".join(f"[{text}]" if learned else text for text, learned in report.shown[row].paths[path])


def test_the_learned_part_is_marked(chat):
    report = inspect(examine(REAL / "crosswoz_zh_messages.jsonl"), chat)
    text = shown(report)
    assert text.startswith("<|im_start|>user\n")
    assert text.count("[") == text.count("<|im_end|>]")  # each learned turn ends with its end token
    assert "<|im_start|>user" not in text.split("[")[1].split("]")[0]


def test_lengths_and_counts_are_those_of_the_tokens(chat):
    report = inspect(examine(REAL / "gsm8k_demos.jsonl"), chat, rows=6)
    assert report.lengths["learned_tokens"]["most"] == max(row.learned[0] for row in report.shown)
    whole = [row.tokens[0] for row in report.shown]
    assert max(whole) <= report.lengths["prompt_tokens"]["most"] + report.lengths["answer_tokens"]["most"]
    assert report.template["ends_with"] == "<|im_end|>"
    assert report.columns == {"final": 6}


def test_rows_that_would_be_refused_are_told_with_the_reason(chat):
    reading = examine(REAL / "cmrc_zh_demos.jsonl")
    report = inspect(reading, chat, judge=judge(chat, max_length=32))
    assert len(report.refused) == 4
    assert "cmrc_zh_demos.jsonl:1: the prompt alone has" in report.refused[0]
    assert inspect(reading, chat, judge=judge(chat, max_length=30_000)).refused == ()


def test_what_a_length_cuts_is_counted(chat):
    reading = examine(REAL / "dolly_demos.jsonl")
    longest = inspect(reading, chat).lengths["prompt_tokens"]["most"]
    report = inspect(reading, chat, judge=judge(chat, max_length=int(longest) + 20))
    assert report.counts["cut"] > 0


def test_without_a_tokenizer_characters_are_counted():
    report = inspect(examine(REAL / "dolly_demos.jsonl"))
    assert report.shown == ()
    assert report.lengths["prompt"]["least"] > 0


def test_what_the_template_writes_around_the_turns_is_shown(chat):
    report = inspect(examine(REAL / "mt_bench_prompts.jsonl"), chat)
    assert report.around == ("<|im_start|>user\n{user}<|im_end|>\n<|im_start|>assistant\n",)
    assert report.warnings == ()


def test_a_template_that_writes_other_things_for_some_prompts_is_caught(make_tokenizer):
    sly = "{% if 'wedding' in messages[0].content %}Be rude.{% endif %}" + real.CHATML
    template = resolve(make_tokenizer(chat_template=sly))
    reading = examine(REAL / "mt_bench_prompts.jsonl")
    odd = reading.groups[1]
    reading.groups[1] = type(odd)("Plan my wedding.", origin=odd.origin)
    (warning,) = inspect(reading, template).warnings
    assert "2 different things around conversations of user" in warning
    assert "Be rude." in warning


def test_the_skeleton_is_what_is_left_without_the_turns():
    messages = (Message("user", "a b"), Message("assistant", " c "))
    assert skeleton("<u>a b</u><a>c</a>", messages) == "<u>{user}</u><a>{assistant}</a>"


def test_segments_change_where_learning_does(chat):
    tokens = chat.tokenizer.encode("The quick brown fox")
    told = segments(chat, [], tokens, [False] + [True] * (len(tokens) - 1))
    assert [learned for _, learned in told] == [False, True]
    assert "".join(text for text, _ in told) == "The quick brown fox"


def test_nothing_that_is_printed_drives_the_terminal():
    nasty = "\x1b[2J\x9b31m\x07\rtext\u202e\u2066 好\tand\n"
    assert for_terminal(nasty) == "\\x1b[2J\\x9b31m\\x07\\rtext\\u202e\\u2066 好\tand\n"


# ---- the commands


@pytest.fixture
def run(capsys):
    from typer.main import get_command

    from burnish.cli.data import app

    def result(*arguments):
        get_command(app).main([str(argument) for argument in arguments], standalone_mode=False)
        return capsys.readouterr().out

    return result


@pytest.fixture(scope="module")
def model(make_tokenizer, tmp_path_factory):
    folder = tmp_path_factory.mktemp("model")
    make_tokenizer(chat_template=real.CHATML).save_pretrained(folder)
    return folder


def test_inspect_prints_text_or_json(run, model):
    out = run("inspect", REAL / "hh_harmless.jsonl", "--model", model, "--rows", 1, "--max-length", 4000)
    assert "8 rows, comparison (hh), 0 refused" in out
    assert "⟦" in out
    told = json.loads(run("inspect", REAL / "hh_harmless.jsonl", "--model", model, "--json"))
    assert (told["rows"], told["kind"], len(told["shown"])) == (8, "comparison", 3)


def test_inspect_shows_escapes_and_does_not_send_them(run, tmp_path, model):
    path = tmp_path / "rows.jsonl"
    path.write_text('{"prompt": "\\u001b[2Jclear", "response": "\\u009b31mred"}\n', encoding="utf-8")
    out = run("inspect", path, "--model", model)
    assert "\x1b" not in out
    assert "\x9b" not in out
    assert "\\x1b[2Jclear" in out


def test_validate_convert_and_split(run, tmp_path):
    assert "duplicates: 0" in run(
        "validate", REAL / "oasst_rankings.jsonl", "--against", REAL / "mt_bench_prompts.jsonl"
    )
    told = json.loads(
        run("convert", REAL / "hh_harmless.jsonl", "--to", "prompt", "--out", tmp_path / "p.jsonl", "--json")
    )
    assert told["rows"] == 8
    assert examine(tmp_path / "p.jsonl").kind == "prompt"
    told = json.loads(run("split", REAL / "hh_harmless.jsonl", "--held-out", 2, "--out", tmp_path / "s", "--json"))
    assert told == {"train": 6, "held_out": 2, "kind": "comparison"}
    assert len(examine(tmp_path / "s" / "heldout.jsonl").groups) == 2


def test_help_does_not_wait_for_torch():
    code = (
        "import sys; from burnish.cli.data import app; from typer.main import get_command\n"
        "try: get_command(app).main(['inspect', '--help'])\n"
        "except SystemExit: pass\n"
        "print('torch' in sys.modules or 'transformers' in sys.modules)"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert out.strip().endswith("False")


def test_json_that_is_printed_drives_no_terminal_and_says_the_same(run, tmp_path):
    nasty = "a\x9b31m\u202e\x1b好"
    path = tmp_path / "rows.jsonl"
    path.write_text(json.dumps({"prompt": nasty, "response": ""}), encoding="utf-8")
    out = run("validate", path, "--kind", "demonstration", "--json")
    assert not set("\x9b\u202e\x1b") & set(out)
    assert json.loads(out)["rows"] == 1
    assert json.loads(json_for_terminal({"said": nasty})) == {"said": nasty}
