"""A run that is killed goes on bit by bit: real processes, real SIGKILL."""

import shutil
import time
from pathlib import Path

import pytest
from fault.runs import RUNS, run_alone, run_reward
from fault.typed import lines
from forks import FORKS
from safetensors.torch import load_file
from torch import equal

from burnish.models.adapters import Lora
from burnish.models.load import load_scorer


@pytest.fixture(scope="module")
def model(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("kill9")
    shutil.copytree(tiny_model, folder / "model")
    run_reward(folder / "model", folder / "reward")
    (folder / "reward" / "model").rename(folder / "scorer")
    load_scorer(folder / "model", lora=Lora(rank=2), fresh_head=True).save(folder / "adapted" / "model")
    return folder / "model"


def written(out: Path) -> dict[str, str]:
    """What was answered, kept and measured, by file: of runs that answer held-out prompts, and of rounds."""
    files = [*out.glob("samples.jsonl"), *(p for p in out.glob("rounds/*/*.json*") if "metrics" not in p.name)]
    return {str(file.relative_to(out)): file.read_text(encoding="utf-8") for file in files}


STEPS_IN = {"reject": "rounds/2/metrics.jsonl"}
"""Where the steps are counted that a run is killed after; of all others metrics.jsonl."""


def kill_after_some_steps(method: str, model: Path, out: Path, steps: int = 5) -> None:
    process = FORKS.Process(target=run_alone, args=(method, model, out), daemon=True)
    process.start()
    metrics = out / STEPS_IN.get(method, "metrics.jsonl")
    while not metrics.exists() or metrics.read_bytes().count(b"\n") < steps:
        assert process.is_alive(), f"it ended with {process.exitcode} before its {steps} steps; see what it printed"
        time.sleep(0.002)
    process.kill()
    process.join()
    assert process.exitcode == -9, "it ended before it could be killed; give it more steps"


@pytest.mark.parametrize("method", RUNS)
def test_a_killed_run_has_the_same_losses_and_the_same_weights(method: str, model: Path, tmp_path: Path):
    kill_after_some_steps(method, model, tmp_path / "killed")
    assert not (tmp_path / "killed" / "model").exists()
    RUNS[method](model, tmp_path / "killed")
    RUNS[method](model, tmp_path / "whole")
    assert lines(tmp_path / "killed") == lines(tmp_path / "whole")
    assert written(tmp_path / "killed") == written(tmp_path / "whole")
    killed, whole = (load_file(tmp_path / name / "model" / "model.safetensors") for name in ("killed", "whole"))
    assert killed.keys() == whole.keys()
    assert all(equal(killed[name], whole[name]) for name in whole)
