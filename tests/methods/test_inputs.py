"""What a method does with rows that cannot be read or do not fit, as its settings say."""

import json
from pathlib import Path

import pytest

from burnish.errors import ConfigError, DataError
from burnish.methods.evaluate import EvaluateConfig, evaluate
from burnish.methods.generate import GenerateConfig, generate
from burnish.methods.inputs import as_groups
from burnish.methods.rank import RankConfig, rank
from burnish.methods.reward import RewardConfig, reward
from burnish.methods.score import ScoreConfig, score
from burnish.methods.sft import SFTConfig, sft
from burnish.models.load import load_policy
from burnish.rollout.settings import Sampling
from burnish.training.config import StageConfig
from burnish.training.identity import settings_identity
from burnish.types import Answer, Group, Prompt

SKIP = StageConfig(on_bad_row="skip")
LONG = "so long a prompt " * 9


def demos(file: Path, good: int, bad: int) -> Path:
    rows = [{"prompt": f"row {i}", "response": "fine"} for i in range(good)]
    rows += [{"prompt": f"row {good + i}", "response": " "} for i in range(bad)]
    file.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return file


def likes_e(_: list[Prompt], answers: list[str]) -> list[float]:
    return [float(answer.count("e")) for answer in answers]


def test_a_bad_row_refuses_the_file_unless_it_may_be_skipped(tmp_path: Path):
    file = demos(tmp_path / "demos.jsonl", good=100, bad=1)
    with pytest.raises(DataError, match=r"demos\.jsonl:101: .*\nMend them, or leave them out with `on_bad_row: skip`"):
        as_groups(file, "demonstration", StageConfig(), tmp_path)
    assert len(as_groups(file, "demonstration", SKIP, tmp_path / "out")) == 100


def test_skipped_rows_lie_in_the_stages_folder_with_the_reasons(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    (tmp_path / "data").mkdir()
    file = demos(tmp_path / "data/demos.jsonl", good=100, bad=1)
    as_groups([str(file)], "demonstration", SKIP, tmp_path / "run/sft")
    [aside] = (tmp_path / "run/sft/demos.rejected.jsonl").read_text(encoding="utf-8").splitlines()
    assert json.loads(aside)["row"] == {"prompt": "row 100", "response": " "}
    assert "1 of 101 rows left out" in caplog.text
    assert [p.name for p in file.parent.iterdir()] == ["demos.jsonl"]


def test_more_than_a_share_of_bad_rows_is_refused_whatever_may_be_skipped(tmp_path: Path):
    file = demos(tmp_path / "demos.jsonl", good=98, bad=2)
    with pytest.raises(DataError, match=r"2\.0%, above max_bad_fraction \(1\.0%\)"):
        as_groups(file, "demonstration", SKIP, tmp_path)
    more = StageConfig(on_bad_row="skip", max_bad_fraction=0.02)
    assert len(as_groups(file, "demonstration", more, tmp_path)) == 98


def test_training_goes_on_without_the_rows_that_it_skips(
    tiny_model: Path, tmp_path: Path, capfd: pytest.CaptureFixture
):
    file = demos(tmp_path / "demos.jsonl", good=100, bad=1)
    with file.open("a", encoding="utf-8") as rows:
        rows.write(json.dumps({"prompt": LONG, "response": "fine"}) + "\n")
    settings = {"max_length": 64, "batch_size": 25, "on_bad_row": "skip"}
    with pytest.raises(DataError, match=r"demos\.jsonl:102: the prompt alone has 153 tokens"):
        sft(tiny_model, file, SFTConfig(**settings), out=tmp_path / "strict")
    figures = sft(tiny_model, file, SFTConfig(**settings, on_too_long="skip"), out=tmp_path / "lenient")
    assert figures["step"] == 4
    told = capfd.readouterr().err
    assert "1 of 101: rows were left out" in told
    assert "demos.jsonl:102: the prompt alone has 153 tokens" in told


def test_prompts_without_room_for_an_answer_can_be_left_out(tiny_model: Path, tmp_path: Path):
    prompts = [Group(text, origin=f"prompts:{i}") for i, text in enumerate(["one", LONG, "three"])]
    settings = {"samples": 1, "max_new_tokens": 4, "max_length": 64}
    with pytest.raises(DataError, match="1 of 3 prompts cannot be used"):
        generate(tiny_model, prompts, GenerateConfig(**settings), out=tmp_path / "strict")
    figures = generate(tiny_model, prompts, GenerateConfig(**settings, on_too_long="skip"), out=tmp_path / "lenient")
    assert figures["prompts"] == 2
    rows = (tmp_path / "lenient/answers.jsonl").read_text(encoding="utf-8").splitlines()
    assert [json.loads(row)["prompt"] for row in rows] == ["one", "three"]


def test_a_verdict_without_a_prompt_is_that_of_the_others(tiny_model: Path, tmp_path: Path):
    """The prompt that is left out stands first, so that every later one has another place."""
    prompts = [Group(text, origin=f"prompts:{i}") for i, text in enumerate([LONG, "one", "two", "three"])]
    settings = {"max_length": 64, "sampling": Sampling(max_new_tokens=6), "on_too_long": "skip"}
    models = {"a": tiny_model, "b": tiny_model}
    given = {"by": likes_e, "base": tiny_model}
    short = evaluate(models, prompts[1:], EvaluateConfig(**settings), out=tmp_path / "short", **given)
    assert evaluate(models, prompts, EvaluateConfig(**settings), out=tmp_path / "all", **given) == short


def test_answers_that_a_reward_model_cannot_read_whole_can_be_left_out(tiny_model: Path, tmp_path: Path):
    pairs = [Group(f"{i} is ", (Answer("eee"), Answer("o")), ((0,), (1,)), origin=f"pairs:{i}") for i in range(12)]
    judge = tmp_path / "reward"
    reward(tiny_model, pairs, RewardConfig(steps=2, max_length=64), out=judge)
    answers = [Group(LONG, pairs[0].answers, origin="answers:1"), *pairs[:3]]
    lenient = {"max_length": 64, "on_too_long": "skip"}
    with pytest.raises(DataError, match="answers:1: the prompt alone has 153 tokens"):
        score(judge / "model", answers, ScoreConfig(max_length=64), out=tmp_path)
    assert score(judge / "model", answers, ScoreConfig(**lenient), out=tmp_path)["answers"] == 6
    told = rank(RankConfig(**lenient), out=tmp_path, answers=answers, by=[{"by": judge / "model"}])
    assert told["rankings"] == 3


def test_what_is_skipped_shows_in_the_rows_and_not_in_the_settings():
    """So a checkpoint of a version without these keys goes on, and one of other rows does not."""
    assert settings_identity(SKIP) == settings_identity(StageConfig())


def test_a_word_that_is_neither_is_refused():
    with pytest.raises(ValueError, match="on_bad_row"):
        StageConfig(on_bad_row="drop")  # type: ignore[arg-type]


def test_models_that_have_room_for_other_prompts_are_not_compared(tiny_model: Path, tmp_path: Path):
    """The second model's template leads every prompt with words of its own."""
    other = load_policy(tiny_model)
    other.tokenizer.chat_template = "{{ messages[0]['content'] }}" + "!" * 50
    prompts = [Group("one", origin="prompts:1"), Group("a longer one", origin="prompts:2")]
    settings = EvaluateConfig(max_length=64, sampling=Sampling(max_new_tokens=6), on_too_long="skip")
    with pytest.raises(ConfigError, match="other has room for other prompts"):
        evaluate({"first": tiny_model, "other": other}, prompts, settings, by=likes_e, out=tmp_path)
