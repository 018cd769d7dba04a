"""Best of n at inference: `generate` with `best_of`, on a tiny model and from a real http server."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from methods.engines import Killed, KilledError
from methods.written import rows_of
from rewards.served import parrot, root, serving

from burnish.cli.main import main
from burnish.data.read import read
from burnish.errors import ConfigError
from burnish.evaluation.best_of_n import kl_bound, win_rates
from burnish.methods.generate import GenerateConfig, generate
from burnish.models.load import load_policy
from burnish.models.model import Policy
from burnish.rollout.served import Server
from burnish.training.config import resolve
from burnish.types import Group, Prompt

PROMPTS = [Group(f"prompt number {i}", id=f"p{i}") for i in range(5)]
SHORT: dict[str, Any] = {"max_new_tokens": 6, "chunk": 2, "seed": 5}


@pytest.fixture(scope="module")
def policy(tiny_model: Path) -> Policy:
    return load_policy(tiny_model)


def vowels(_: Sequence[Prompt], answers: Sequence[str]) -> list[float]:
    return [float(sum(letter in "aeiou" for letter in answer)) for answer in answers]


def brief(_: Sequence[Prompt], answers: Sequence[str]) -> list[float]:
    return [-float(len(answer)) for answer in answers]


def test_of_the_draws_that_the_model_gives_the_best_is_written(policy: Policy, tmp_path: Path):
    """Without `best_of`, the same seed gives the same draws."""
    generate(policy, PROMPTS, GenerateConfig(**SHORT, samples=6), out=tmp_path / "all")
    figures = generate(policy, PROMPTS, GenerateConfig(**SHORT, best_of=6), out=tmp_path / "best", by=vowels)
    for every, best in zip(rows_of(tmp_path / "all"), rows_of(tmp_path / "best"), strict=True):
        paid = [v - (not f) for v, f in zip(vowels([], every["answers"]), every["finished"], strict=True)]
        (kept,) = best["draws"]
        assert best["draw_scores"] == paid
        assert (best["best_of"], kept, best["scores"]) == (6, paid.index(max(paid)), [max(paid)])
        for column in ("answers", "tokens", "logprobs", "finished"):
            assert best[column] == [every[column][kept]]
    rows = rows_of(tmp_path / "best")
    assert (figures["prompts"], figures["answers"], figures["draws"]) == (5, 5, 30)
    assert figures["score_kept"] == pytest.approx(sum(row["scores"][0] for row in rows) / 5)
    assert figures["score_kept"] > figures["score_mean"]
    assert figures["answer_length"] == sum(len(row["tokens"][0]) for row in rows) / 5
    groups = read(tmp_path / "best/answers.jsonl", kind="sample")
    assert [group.answers[0].score for group in groups] == [row["scores"][0] for row in rows]


def test_several_answers_a_prompt_are_each_the_best_of_draws_of_their_own(policy: Policy, tmp_path: Path):
    config = GenerateConfig(**SHORT, best_of=3, samples=2, unfinished_penalty=0)
    generate(policy, PROMPTS, config, out=tmp_path, by=vowels)
    for row in rows_of(tmp_path):
        one, other = row["draw_scores"][:3], row["draw_scores"][3:]
        assert row["draws"] == [one.index(max(one)), 3 + other.index(max(other))]
        assert row["scores"] == [max(one), max(other)]


def test_a_curve_is_that_of_all_draws_and_of_one_more(policy: Policy, tmp_path: Path):
    config = GenerateConfig(**SHORT, best_of=5, curve=True)
    figures = generate(policy, PROMPTS, config, out=tmp_path, by=vowels, judge=brief)
    rows = rows_of(tmp_path)
    score_GK, judge_GK = ([row[name] for row in rows] for name in ("draw_scores", "draw_judge_scores"))
    assert {len(scores) for scores in score_GK} == {6}
    assert all(row["draws"][0] < 5 for row in rows), "nothing chooses the one that others are compared with"
    curve = [json.loads(line) for line in (tmp_path / "best_of_n.jsonl").read_text().splitlines()]
    assert [row["n"] for row in curve] == [1, 2, 4, 5]
    for row in curve:
        assert row["kl"] == kl_bound(row["n"])
        assert row["win_rate"] == pytest.approx(win_rates(score_GK, judge_GK, row["n"]).mean())
        assert row["score_win_rate"] == pytest.approx(win_rates(score_GK, score_GK, row["n"]).mean())
    assert curve[0]["score_mean"] == pytest.approx(figures["score_mean"])
    assert {name: figures[name] for name in ("kl", "win_rate")} == {k: curve[-1][k] for k in ("kl", "win_rate")}


def test_a_judge_that_chooses_is_warned_of(policy: Policy, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    config = GenerateConfig(**SHORT, best_of=2, curve=True)
    generate(policy, PROMPTS[:2], config, out=tmp_path, by=vowels, judge=vowels)
    assert "warning: judge: it is the one that chooses" in capsys.readouterr().err


def test_a_killed_run_ends_with_the_same_bytes(policy: Policy, tmp_path: Path):
    config = GenerateConfig(**SHORT, best_of=3, curve=True)
    wanted = generate(policy, PROMPTS, config, out=tmp_path / "whole", by=vowels)
    with pytest.raises(KilledError):
        generate(policy, PROMPTS, config, out=tmp_path / "cut", by=vowels, engine=Killed(policy, 2))
    assert generate(policy, PROMPTS, config, out=tmp_path / "cut", by=vowels) == wanted
    for name in ("answers.jsonl", "best_of_n.jsonl"):
        assert (tmp_path / "cut" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()
    with pytest.raises(ConfigError, match="by: vowels then, brief now"):
        generate(policy, PROMPTS, config, out=tmp_path / "cut", by=brief)


def test_an_answer_that_a_stop_string_ends_was_not_cut(policy: Policy, tmp_path: Path):
    generate(policy, PROMPTS, GenerateConfig(**SHORT, samples=4), out=tmp_path / "free")
    free = [text for row in rows_of(tmp_path / "free") for text in row["answers"]]
    stop = next(text[2] for text in free if len(text) > 2 and text[2].isascii())
    config = GenerateConfig(**SHORT, best_of=4, stop=(stop,), unfinished_penalty=100)
    generate(policy, PROMPTS, config, out=tmp_path / "best", by=vowels)
    paid = [score < -50 for row in rows_of(tmp_path / "best") for score in row["draw_scores"]]
    whole = [finished for row in rows_of(tmp_path / "free") for finished in row["finished"]]
    assert paid == [not ended and stop not in text for ended, text in zip(whole, free, strict=True)]
    assert any(not ended and stop in text for ended, text in zip(whole, free, strict=True))


def test_of_a_served_model_the_best_is_kept_too(tmp_path: Path):
    config = GenerateConfig(best_of=4, samples=2, server=Server(model="big"))
    with serving(parrot) as (address, questions):
        figures = generate(root(address), PROMPTS[:2], config, out=tmp_path, by=vowels)
        assert len(questions) == 16
    for row in rows_of(tmp_path):
        assert len(row["answers"]) == 2
        assert "tokens" not in row
    assert (figures["answers"], figures["draws"], figures["answer_length"]) == (4, 16, 5)


@pytest.mark.parametrize(
    ("given", "settings", "told"),
    [
        ({}, {"best_of": 2}, "best_of: 2: nobody says which answer is best"),
        ({"by": vowels}, {}, "by: it chooses among draws"),
        ({"by": vowels, "judge": brief}, {"best_of": 2}, "judge: it says what n is worth, and no curve is asked for"),
    ],
)
def test_inputs_that_have_nothing_to_do_are_refused_before_a_model_is_loaded(
    given: dict[str, Any], settings: dict[str, Any], told: str
):
    with pytest.raises(ConfigError, match=told):
        generate("no/such/model", PROMPTS, GenerateConfig(**settings), out=Path("nowhere"), **given)


def test_settings_of_a_choice_need_one():
    assert resolve(GenerateConfig, {"best_of": 8}).samples == 1
    assert resolve(GenerateConfig, {"best_of": 8, "samples": 4}).samples == 4
    assert resolve(GenerateConfig, {}).samples == 4
    for key, value in (("curve", True), ("unfinished_penalty", 2)):
        with pytest.raises(ConfigError, match=f"{key} is of the best of several draws, and best_of is 1"):
            resolve(GenerateConfig, {key: value})


def test_the_command_prints_the_curve_as_a_table_and_writes_it_beside_the_answers(
    tiny_model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    prompts = tmp_path / "prompts.jsonl"
    prompts.write_text("".join(json.dumps({"prompt": group.prompt}) + "\n" for group in PROMPTS))
    out = tmp_path / "best.jsonl"
    words = ["generate", "--model", str(tiny_model), "--prompts", str(prompts), "--out", str(out), "--best-of", "4"]
    words += ["--by", "judges:favourable-a", "--judge", "judges:favourable-b", "--curve", "--set", "max_new_tokens=6"]
    assert main(words) == 0
    told, err = capsys.readouterr()
    assert "it is the one that chooses" not in err, "two judges that ship are told apart by their names"
    table = told[told.index("best_of_n") :].splitlines()
    assert table[1].split() == ["1", "2", "4"]
    assert [line.split()[0] for line in table[2:4]] == ["kl", "win_rate"]
    rows = [json.loads(line) for line in (tmp_path / "best.jsonl.best_of_n.jsonl").read_text().splitlines()]
    assert [row["n"] for row in rows] == [1, 2, 4]
    assert len(read(out, kind="sample")) == 5
    assert main([*words, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["best_of_n"]["4"] == {k: v for k, v in rows[-1].items() if k != "n"}
