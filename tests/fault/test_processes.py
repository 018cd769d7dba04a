"""Several processes train one model: what they compute is what one computes, and what happens to one ends all."""

import json
import signal
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from fault.conftest import Unbroken
from fault.together import ended, learn_noting, run_by, save_apart, started, torchrun
from fault.typed import lines, results, words
from forks import Command

from burnish.cli.main import main
from burnish.training.checkpoint import newest_checkpoint

MORE = pytest.mark.faults
CLOSE = 1e-5
"""What is asked of figures, relative: sums are added in another order, which moves losses by 1e-7 in 20 steps."""


def close(found: Sequence[dict[str, Any]], wanted: Sequence[dict[str, Any]]) -> bool:
    """Whether two courses have the same steps, with the same figures but for rounding."""
    assert [sorted(line) for line in found] == [sorted(line) for line in wanted]
    return all(line == pytest.approx(other, rel=CLOSE, abs=CLOSE) for line, other in zip(found, wanted, strict=True))


def wait_for(path: Path, commands: list[Command]) -> None:
    while not path.exists():
        assert commands[0].running(), ended(commands)
        time.sleep(0.01)


@pytest.mark.parametrize("method", ["dpo", *(pytest.param(name, marks=MORE) for name in ("sft", "reward", "kto"))])
def test_two_processes_learn_what_one_does(method: str, here: Path, unbroken: Unbroken):
    codes = ended(started(*words(method, "run")))
    assert [code for code, _ in codes] == [0, 0], codes
    assert codes[1][1] == "", "only the first one tells"
    assert close(lines(here / "run"), unbroken(method)["./metrics.jsonl"])
    assert sorted(results(here / "run")) == sorted(unbroken(method))


@MORE
def test_an_ensemble_of_reward_models_too(here: Path):
    assert main(words("reward", "whole", members=2, lora="{rank: 2}")) == 0
    codes = ended(started(*words("reward", "run", members=2, lora="{rank: 2}")))
    assert [code for code, _ in codes] == [0, 0], codes
    assert sorted(results(here / "run")) == sorted(results(here / "whole"))
    for member in ("members/1", "members/2"):
        assert close(lines(here / "run" / member), lines(here / "whole" / member))


def test_a_signal_to_one_of_them_saves_and_stops_all(here: Path, unbroken: Unbroken):
    commands = started(*words("sft", "run", keep_checkpoints="true"), faults=dict.fromkeys((0, 1), "sleep:1@loss:5"))
    wait_for(here / "run/checkpoints/step-000004", commands)
    time.sleep(0.3)
    commands[1].signal(signal.SIGTERM)
    told = ended(commands)
    assert [code for code, _ in told] == [75, 75], told
    assert "stopped after step 5 of 10, saved" in told[0][1]
    found, troubles = newest_checkpoint(here / "run/checkpoints")
    assert found is not None
    assert (found.step, troubles) == (5, [])
    assert main(words("sft", "run", keep_checkpoints="true")) == 0, "one goes on where two stopped"
    assert close(lines(here / "run"), unbroken("sft")["./metrics.jsonl"])


@pytest.mark.parametrize(
    "rank, fault, code, message",
    [
        (1, "nan@loss:5", 70, "step 5: loss nan"),
        pytest.param(1, "raise:MemoryError@loss:5", 71, "step 5, at most 2048 tokens", marks=MORE),
        pytest.param(0, "raise:OSError:28@ckpt.write:1", 74, "could not be written", marks=MORE),
        pytest.param(0, "raise:OSError:28@step.end:5", 74, "No space left on device", marks=MORE),
        pytest.param(1, "raise:FileNotFoundError:2@loss:5", 66, "no such file", marks=MORE),
        pytest.param(1, "raise:ValueError@loss:5", 70, "ValueError", marks=MORE),
    ],
)
def test_what_fails_in_one_of_them_ends_all_with_its_code(rank: int, fault: str, code: int, message: str, here: Path):
    told = ended(started(*words("sft", "run"), faults={rank: fault}))
    assert [one for one, _ in told] == [code, code], told
    assert message in told[rank][1]
    if fault.startswith("nan"):
        (one,) = json.loads((here / "run/bad_batch.json").read_text())
        assert {row["loss"] == "nan" for row in one["rows"]} == {True, False}, "each computed its own rows alone"
        found, _ = newest_checkpoint(here / "run/checkpoints")
        assert found is not None
        assert found.step == 4
        assert all(one.isfinite().all() for one in found.tensors("model").values())


@MORE
def test_a_batch_that_is_no_number_in_one_of_them_is_left_out_by_all(here: Path):
    told = ended(started(*words("sft", "run", on_nonfinite="skip"), faults={1: "nan@loss:5"}))
    assert [code for code, _ in told] == [0, 0], told
    course = lines(here / "run")
    assert [line["step"] for line in course] == list(range(1, 11))
    assert [line.get("skipped", 0) for line in course] == [0] * 4 + [1] * 6
    (one,) = json.loads((here / "run/bad_batch.json").read_text())
    assert one["step"] == 5


def test_processes_whose_weights_came_apart_save_nothing(tmp_path: Path):
    run_by(2, save_apart, tmp_path)
    assert not list(tmp_path.iterdir())


@MORE
def test_memory_that_runs_out_in_one_of_them_makes_the_parts_of_all_smaller(here: Path):
    typed = words("sft", "run", auto_micro_batch="true", micro_batch_tokens=64)
    told = ended(started(*typed, faults={1: "raise:MemoryError@loss:5"}))
    assert [one for one, _ in told] == [71, 71], "the fault is met in every attempt, until nothing is left to cut"
    assert "at 64 tokens a micro-batch; 16 from here on" in told[0][1], "two already cut it as 32 would"


@MORE
def test_memory_that_runs_out_amid_a_sum_of_gradients_ends_the_run_and_nobody_waits(here: Path):
    typed = words("sft", "run", auto_micro_batch="true", micro_batch_tokens=64)
    told = ended(started(*typed, faults={1: "raise:MemoryError@gradients.sum:5"}), 30)
    assert [one for one, _ in told] == [70, 71], told
    assert "step 5, summing gradients: out of memory" in told[1][1]
    assert "another process of this run ended: " in told[0][1]
    assert not list((here / "run").glob("hang*")), "it ended, and did not hang"


@MORE
def test_one_that_hangs_is_not_waited_for_without_end(here: Path):
    slow = dict.fromkeys((0, 1), "sleep:0.5@loss:5")
    commands = started(*words("sft", "run"), faults=slow, BURNISH_PROCESS_TIMEOUT="5")
    wait_for(here / "run/checkpoints/step-000004", commands)
    commands[1].signal(signal.SIGSTOP)
    began = time.monotonic()
    code, told = commands[0].end(30)
    commands[1].kill()
    assert code == 70, told
    assert time.monotonic() - began < 30
    assert "was silent for 5 s" in told
    assert "all_gather" in (here / "run/hang.txt").read_text(), "it says in which exchange"
    assert main(words("sft", "run")) == 0


@MORE
def test_no_row_is_skipped_or_doubled_when_the_number_of_processes_changes(tiny_model: Path, tmp_path: Path):
    whole, notes = tmp_path / "whole", tmp_path / "notes"
    learn_noting(1, tiny_model, whole, tmp_path / "all")
    learn_noting(2, tiny_model, tmp_path / "run", notes, stop=3)
    learn_noting(1, tiny_model, tmp_path / "run", notes, stop=4)
    learn_noting(2, tiny_model, tmp_path / "run", notes)
    seen, wanted = (
        Counter(line for file in folder.iterdir() for line in file.read_text().splitlines())
        for folder in (notes, tmp_path / "all")
    )
    assert seen == wanted
    assert sum(wanted.values()) == 12 * 4
    assert close(lines(tmp_path / "run"), lines(whole))


@MORE
def test_a_process_that_dies_is_started_again_by_torchrun_and_the_run_is_the_same(here: Path):
    assert torchrun(words("sft", "whole"))[0] == 0
    code, told = torchrun(words("sft", "run"), "--max-restarts=2", fault="exit:1@step.end:5")
    assert code == 0, told
    assert results(here / "run") == results(here / "whole")


@MORE
def test_a_recipe_is_computed_together_where_it_can_be_and_else_by_one(here: Path, unbroken: Unbroken):
    told = ended(started(*words("recipe", "run")))
    assert [code for code, _ in told] == [0, 0], told
    assert sorted(results(here / "run")) == sorted(unbroken("recipe"))
    assert json.loads((here / "run/lock.json").read_text())["processes"] == 2
    assert main(words("recipe", "run")) == 0, "one process finds nothing left to do"
    (change,) = json.loads((here / "run/lock.json").read_text())["history"]
    assert change["changed"] == ["processes: 2 then, 1 now"]


@MORE
def test_a_command_that_nothing_is_shared_of_is_done_by_the_first_alone(here: Path):
    told = ended(started("data", "validate", "demonstrations.jsonl"))
    assert [code for code, _ in told] == [0, 0], told
