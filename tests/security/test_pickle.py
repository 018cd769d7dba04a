"""No library unpickles on our behalf: a run saves, is resumed and ends where unpickling is an error."""

import json
import pickle
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from fault.runs import demonstrations, run_ppo, run_reward
from forks import FORKS

from burnish.methods.sft import SFTConfig, sft

SHORT = {"steps": 4, "batch_size": 4, "save_every": 2, "max_length": 64}


def run_sft(model: Path, out: Path) -> None:
    sft(model, demonstrations(), SFTConfig(**SHORT), out=out)


def run_short_ppo(model: Path, out: Path) -> None:
    run_ppo(model, out, **SHORT)


RUNS: dict[str, Callable[[Path, Path], object]] = {"sft": run_sft, "ppo": run_short_ppo}


def refuse(*_: Any, **__: Any) -> None:
    raise AssertionError("something was unpickled")


class NoUnpickler(pickle.Unpickler):
    def __init__(self, *_: Any, **__: Any) -> None:
        refuse()


def hook(event: str, _: object) -> None:
    """Whoever took `loads` before it was replaced, or has an unpickler of its own, asks for a class by this event."""
    if event == "pickle.find_class":
        refuse()


def twice(method: str, model: Path, out: Path) -> None:
    """Run to the end, take the end away, and run again from the checkpoint before it."""
    torch.set_num_threads(1)
    pickle.load = pickle.loads = refuse  # type: ignore[assignment]
    pickle.Unpickler = pickle._Unpickler = NoUnpickler  # type: ignore[attr-defined,misc]
    sys.addaudithook(hook)
    RUNS[method](model, out)
    shutil.rmtree(out / "model")
    shutil.rmtree(out / "checkpoints/step-000004")
    RUNS[method](model, out)


@pytest.fixture(scope="module")
def model(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model, and beside it the reward model that `run_ppo` asks."""
    folder = tmp_path_factory.mktemp("pickle")
    shutil.copytree(tiny_model, folder / "model")
    run_reward(folder / "model", folder / "reward")
    (folder / "reward/model").rename(folder / "scorer")
    return folder / "model"


@pytest.mark.parametrize("method", RUNS)
def test_a_run_saves_resumes_and_ends_without_unpickling(method: str, model: Path, tmp_path: Path):
    process = FORKS.Process(target=twice, args=(method, model, tmp_path), daemon=True)
    process.start()
    process.join(600)
    assert process.exitcode == 0
    lines = (tmp_path / "metrics.jsonl").read_text().splitlines()
    assert [json.loads(line)["step"] for line in lines] == [1, 2, 3, 4]
    assert list(tmp_path.glob("metrics.discarded-*")), "the second run went on from a checkpoint"
    assert (tmp_path / "model/model.safetensors").exists()


@pytest.mark.parametrize("through", ["loads", "Unpickler", "a copy that was taken before"])
def test_unpickling_would_be_noticed(through: str):
    process = FORKS.Process(target=unpickle, args=(through,), daemon=True)
    process.start()
    process.join(600)
    assert process.exitcode == 1


def unpickle(through: str) -> None:
    data = pickle.dumps(Path)
    taken = pickle.loads
    pickle.loads, pickle.Unpickler = refuse, NoUnpickler  # type: ignore[assignment,misc]
    sys.stderr = open("/dev/null", "w")  # noqa: SIM115  its end is the process's
    if through == "loads":
        pickle.loads(data)  # noqa: S301
    if through == "Unpickler":
        pickle.Unpickler(None)  # type: ignore[arg-type]  # noqa: S301
    sys.addaudithook(hook)
    taken(data)
