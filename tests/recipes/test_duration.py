import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from recipes.conftest import Workplace

from burnish.cli.main import main
from burnish.methods.sft import SFTConfig
from burnish.models.load import load_policy
from burnish.recipes.duration import Duration, Reckoning
from burnish.recipes.machine import needs
from burnish.recipes.plan import lines, plan
from burnish.recipes.run import run
from burnish.recipes.speed import Learning, Line, Shape, Writing, learning, step_split
from burnish.rollout.settings import Sampling

ROWS = 20


@pytest.fixture
def workplace(place: Workplace) -> Workplace:
    """Twenty prompts of four bytes, with two answers of three bytes and an end each."""
    names = [f"{n:02} :" for n in range(ROWS)]
    rows = {
        "demos": [{"prompt": name, "response": " no"} for name in names],
        "pairs": [{"prompt": name, "chosen": " no", "rejected": "yes"} for name in names],
        "prompts": [{"prompt": name} for name in names],
    }
    for file, some in rows.items():
        (place.path / f"{file}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in some))
    return place


def loaded(workplace: Workplace, tiny_model: Path, **stages: dict[str, Any]) -> Any:
    shape = {"name": "t", "model": str(tiny_model), "roots": [str(tiny_model.parent)], "max_length": 64}
    return workplace.load(json.dumps(shape | {"batch_size": 4, "stages": stages}))


class Known:
    """A model of which every pass costs a second, and all else nothing."""

    load = 0.0

    step = 0.0

    def learn(self, *_: object) -> Learning:
        return Learning(self.step, Line(1.0, 0.0), kept=10.0)

    def read(self, *_: object) -> Line:
        return Line(1.0, 0.0)

    def write(self, *_: object) -> Writing:
        return Writing(call=0.0, prompt=0.0, step=1.0, token=0.0)

    weights = 0

    def slots(self, *_: object) -> tuple[int, float]:
        return 40, 0.0

    def check(self, *_: object) -> float:
        return 0.0

    def answer_lengths(self, _: object, sampling: Sampling, __: object) -> list[int]:
        return [min(n, sampling.max_new_tokens) for n in (4, 6)]


class KnownModels:
    start, base = 0.0, 1000.0

    def policy(self, *_: object) -> Known:
        return Known()

    def scorer(self, source: Path, *_: object, trained: bool) -> Known:
        assert (source / "config.json").is_file(), "one model, that can be loaded"
        return Known()


def reckoned(workplace: Workplace, tiny_model: Path, **stages: dict[str, Any]) -> dict[str, Duration]:
    recipe = loaded(workplace, tiny_model, **stages)
    reckoning = Reckoning(recipe, workplace.out)
    reckoning.models = KnownModels()  # type: ignore[assignment]  # all that is asked of it
    reckoning.byte = 0.0
    found = dict(reckoning.stages(recipe.stages))
    assert all(isinstance(one, Duration) for one in found.values()), found
    return found  # type: ignore[return-value]


def parts(found: Duration) -> dict[str, float]:
    return {name: seconds for name, seconds in found.parts.items() if seconds and name != "rows"}


def test_an_epoch_is_a_pass_a_step(workplace: Workplace, tiny_model: Path):
    sft = {"method": "sft", "model": "base", "data": "demos.jsonl", "epochs": 3}
    found = reckoned(workplace, tiny_model, whole=sft, cut={**sft, "micro_batch_tokens": 16})
    assert parts(found["whole"]) == {"learn": 3 * ROWS / 4}
    assert parts(found["cut"]) == {"learn": 2 * 3 * ROWS / 4}, "rows of eight tokens, two in a micro-batch"


def test_an_optimiser_step_is_paid_once_however_its_batch_is_cut(
    workplace: Workplace, tiny_model: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(Known, "step", 100.0)
    sft = {"method": "sft", "model": "base", "data": "demos.jsonl", "micro_batch_tokens": 16}
    found = reckoned(workplace, tiny_model, sft=sft)["sft"]
    assert parts(found) == {"learn": ROWS / 4 * (100 + 2)}, "four rows of eight tokens are two passes"


def test_a_timed_step_is_split_into_the_optimiser_s_part_and_that_of_passes():
    def took(passes: int, trees: int) -> float:
        return 4.0 + 2.0 * passes + 0.5 * passes * trees

    assert step_split(took(1, 1), 8, took(1, 8), took(2, 8)) == (4.0, Line(2.0, 0.5))
    assert step_split(took(1, 1), 1, took(1, 1), took(2, 1)) == (4.0, Line(0.0, 2.5)), "where no pass holds two trees"


def test_a_model_that_was_timed_is_what_it_was(tiny_model: Path):
    policy = load_policy(tiny_model)
    before = {name: weight.clone() for name, weight in policy.weights().items()}
    learning(policy, SFTConfig(weight_decay=0.1), Shape(4, 1, 4), most=2)
    assert all(torch.equal(weight, before[name]) for name, weight in policy.weights().items())


def test_dpo_reads_its_rows_once_and_what_is_held_out_at_each_evaluation(workplace: Workplace, tiny_model: Path):
    dpo = {"method": "dpo", "model": "base", "data": "pairs.jsonl", "evaluate_on": "pairs.jsonl", "evaluate_every": 2}
    found = reckoned(workplace, tiny_model, dpo=dpo)["dpo"]
    assert parts(found) == {"learn": 5.0, "reference": 1.0, "evaluate": 3.0}


def test_an_iteration_of_ppo_draws_reads_scores_and_learns_with_two_models(workplace: Workplace, tiny_model: Path):
    reward = {"method": "reward", "model": "base", "data": "pairs.jsonl", "heldout": 0.0}
    ppo = {"method": "ppo", "model": "base", "by": "reward", "prompts": "prompts.jsonl", "steps": 3, "minibatches": 2}
    sampling = {"max_new_tokens": 8}
    found = reckoned(workplace, tiny_model, reward=reward, ppo={**ppo, "sampling": sampling})["ppo"]
    # policy, reference and reward model read each iteration; two passes of two parts teach policy and critic
    assert parts(found) == {"write": 3 * 6, "read": 3 * 3, "critic": 3, "learn": 3 * 2 * 2 * 2}
    assert found.grown == 3 * (8 - 6), "as many steps as the longest answer has, whatever the others have"


@pytest.mark.parametrize("done", [False, True])
def test_an_ensemble_judges_as_often_as_it_has_members(workplace: Workplace, tiny_model: Path, done: bool):
    reward = {"method": "reward", "model": "base", "data": "pairs.jsonl", "steps": 1, "members": 3}
    sampling = {"max_new_tokens": 4}
    best = {"method": "reject", "model": "base", "by": "reward", "prompts": "prompts.jsonl", "rounds": 1}
    stages = {"reward": reward, "best": {**best, "sampling": sampling}}
    if done:
        run(loaded(workplace, tiny_model, reward=reward), workplace.out, tell=lambda _: None)
    assert parts(reckoned(workplace, tiny_model, **stages)["best"])["score"] == 3


def test_answers_are_as_long_as_what_their_model_learned_from(workplace: Workplace, tiny_model: Path):
    sft = {"method": "sft", "model": "base", "data": "demos.jsonl"}
    answers = {"method": "generate", "model": "sft", "prompts": "prompts.jsonl", "samples": 4, "max_new_tokens": 16}
    found = reckoned(workplace, tiny_model, sft=sft, answers=answers)["answers"]
    assert parts(found) == {"write": 80 * 4 / 40}, "80 answers of 4 tokens in 40 slots"
    assert found.grown == 80 * 16 / 40 - 80 * 4 / 40


def test_a_high_bound_on_answers_makes_the_upper_end_alone_longer(workplace: Workplace, tiny_model: Path):
    sft = {"method": "sft", "model": "base", "data": "demos.jsonl"}
    answers = {"method": "generate", "model": "sft", "prompts": "prompts.jsonl", "samples": 1}
    found = reckoned(
        workplace, tiny_model, sft=sft, low={**answers, "max_new_tokens": 8}, high={**answers, "max_new_tokens": 48}
    )
    assert parts(found["low"]) == parts(found["high"]) == {"write": 4}, "20 answers side by side, none above 4 tokens"
    assert (found["low"].grown, found["high"].grown) == (8 - 4, 48 - 4)


def test_rounds_are_counted_one_by_one(workplace: Workplace, tiny_model: Path):
    best = {"method": "reject", "model": "base", "by": "judges:favourable-a", "prompts": "prompts.jsonl", "rounds": 2}
    sampling = {"max_new_tokens": 4}
    found = reckoned(workplace, tiny_model, best={**best, "samples": 2, "accumulate": True, "sampling": sampling})
    assert found["best"].told()["left_out"] == ["by judges:favourable-a"]
    assert parts(found["best"]) == {"write": 2 * 4, "learn": ROWS / 4 + 2 * ROWS / 4}


def test_what_nobody_can_time_is_told(workplace: Workplace, tiny_model: Path):
    sampling = {"max_new_tokens": 4}
    best = {"method": "reject", "model": "base", "by": "people", "prompts": "prompts.jsonl", "sampling": sampling}
    found = reckoned(workplace, tiny_model, best=best)["best"]
    assert found.left_out == ["by people"]


def test_memory_is_the_process_the_weights_and_what_a_micro_batch_keeps(workplace: Workplace, tiny_model: Path):
    sft = {"method": "sft", "model": "base", "data": "demos.jsonl"}
    recipe = loaded(workplace, tiny_model, sft=sft)
    found = reckoned(workplace, tiny_model, sft=sft)["sft"]
    assert found.memory == 1000 + needs(recipe)["sft"].memory + 10 * 4 * 8, "four rows of eight tokens"


def test_a_plan_times_the_stage_s_own_model(workplace: Workplace, tiny_model: Path):
    sft = {"method": "sft", "model": "base", "data": "demos.jsonl"}
    answers = {"method": "generate", "model": "sft", "prompts": "prompts.jsonl", "max_new_tokens": 4}
    recipe = loaded(workplace, tiny_model, sft=sft, answers=answers, other={**sft, "model": "who/else"})
    assert all("time" not in stage for stage in plan(recipe)["stages"].values())
    planned = plan(recipe, workplace.out, with_time=True)
    assert json.loads(json.dumps(planned)) == planned
    first, second, third = (stage["time"] for stage in planned["stages"].values())
    assert first["low"] < first["seconds"] < first["high"]
    assert first["parts"].keys() == {"rows", "load", "check", "learn", "save", "start"}
    assert second["parts"]["write"] > 0
    assert third == {"unknown": "who/else is not on this machine"}
    told = "\n".join(lines(planned))
    assert "takes: about" in told
    assert "takes: not known, for who/else is not on this machine" in told
    assert "in all, without other: about" in told


def test_what_pretraining_draws_at_random_stands_in_for_what_it_makes(
    workplace: Workplace, tiny_model: Path, tmp_path: Path
):
    empty = tmp_path / "empty"
    shutil.copytree(tiny_model, empty, ignore=shutil.ignore_patterns("*.safetensors"))
    (workplace.path / "texts.jsonl").write_text('{"text": "one and two and three"}\n' * ROWS)
    pretrain = {"method": "pretrain", "model": "base", "data": "texts.jsonl"}
    reward = {"method": "reward", "model": "pretrain", "data": "pairs.jsonl"}
    answers = {"method": "generate", "model": "pretrain", "prompts": "prompts.jsonl", "max_new_tokens": 4}
    recipe = loaded(workplace, empty, pretrain=pretrain, reward=reward, answers=answers)
    times = [stage["time"] for stage in plan(recipe, workplace.out, with_time=True)["stages"].values()]
    assert all(time.get("seconds") for time in times), times
    assert not list(empty.glob("*.safetensors"))


def test_a_plan_of_another_folder_leaves_out_what_is_done_there(
    workplace: Workplace, tiny_model: Path, capsys: pytest.CaptureFixture[str]
):
    loaded(workplace, tiny_model, sft={"method": "sft", "model": "base", "data": "demos.jsonl"})
    (workplace.out / "sft").mkdir(parents=True)
    (workplace.out / "sft/DONE.json").write_text("{}")
    assert main(["plan", str(workplace.file), "--time", "--out", str(workplace.out)]) == 0
    told = capsys.readouterr().out
    assert "sft  (sft)" in told
    assert "takes:" not in told


def test_the_estimate_of_disk_is_what_rounds_write_that_save_at_their_end(workplace: Workplace, tiny_model: Path):
    shape = {"samples": 2, "rounds": 2, "sampling": {"max_new_tokens": 4}, "save_every": 0, "keep_checkpoints": True}
    best = {"method": "reject", "model": "base", "by": "judges:favourable-a", "prompts": "prompts.jsonl", **shape}
    recipe = loaded(workplace, tiny_model, best=best)
    run(recipe, workplace.out, tell=lambda _: None)
    written = sum(file.stat().st_size for file in (workplace.out / "best").rglob("*.safetensors"))
    assert needs(recipe)["best"].left == pytest.approx(written, rel=0.1)


def test_a_shape_is_as_large_as_the_mean_row():
    assert Shape(10, 3, 4).tokens == 22
