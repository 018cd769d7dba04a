"""When a run saves by the clock, and what it says of a machine that has changed."""

import json
from pathlib import Path

import pytest
import torch
from torch import Tensor

from burnish import processes
from burnish.errors import CheckpointError, ConfigError
from burnish.training import saving
from burnish.training.config import MethodConfig, resolve
from burnish.training.machine import changes_told
from burnish.training.saving import Saves, pause


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


class Weights:
    """What is kept: four numbers of 4 bytes, which it takes `cost` seconds to hand out."""

    cost = 0.0

    def __init__(self, clock: Clock) -> None:
        self.values = torch.zeros(4)
        self._clock = clock

    def tensors(self) -> dict[str, Tensor]:
        self._clock.now += self.cost
        return {"values": self.values}

    def restore(self, tensors: dict[str, Tensor]) -> None:
        self.values = tensors["values"]


@pytest.fixture
def clock() -> Clock:
    return Clock()


def saved_at(folder: Path, clock: Clock, *, step: float, cost: float, until: float) -> list[float]:
    """The moments at which steps of `step` seconds are saved, each save taking `cost` seconds."""
    weights = Weights(clock)
    saves = Saves(folder, {"model": weights}, {}, "auto", clock=clock)
    moments: list[float] = []
    while clock.now < until:
        clock.now += step
        if saves.due(int(clock.now)):
            moments.append(clock.now)
            weights.cost = cost
            saves.save(len(moments), 0)
            weights.cost = 0.0
    return moments


@pytest.mark.parametrize("cost", [0.01, 1.0, 5.0, 15.0])
def test_saving_stays_below_3_percent_and_at_most_ten_minutes_are_lost(tmp_path: Path, clock: Clock, cost: float):
    moments = saved_at(tmp_path, clock, step=2.0, cost=cost, until=7200)
    assert len(moments) * cost / clock.now < 0.03
    between = [later - one for one, later in zip([0.0, *moments], moments, strict=False)]
    assert max(between) <= 600 + cost + 2.0
    assert min(between) >= 60


def test_a_save_that_takes_long_comes_less_often_and_keeps_its_share(tmp_path: Path, clock: Clock):
    moments = saved_at(tmp_path, clock, step=2.0, cost=60.0, until=20_000)
    assert moments[1] - moments[0] >= 2000
    assert pause(60.0) == pytest.approx(2000)
    assert pause(12.0) == pause(17.0) == 600


def test_the_first_save_is_put_off_by_what_it_is_thought_to_take(
    tmp_path: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(saving, "ASSUMED", 8.0)  # bytes a second: 16 bytes take 2 s, and 2 s are 2 % of 100 s
    assert saved_at(tmp_path, clock, step=1.0, cost=0.0, until=110)[0] == 100


def test_a_number_of_steps_is_counted_and_0_saves_nothing_before_the_end(tmp_path: Path, clock: Clock):
    for every, wanted in ((3, [3, 6, 9]), (0, [])):
        saves = Saves(tmp_path, {}, {}, every, clock=clock)
        clock.now += 10_000
        assert [step for step in range(1, 11) if saves.due(step)] == wanted


def test_another_machine_is_warned_of_once(tmp_path: Path, clock: Clock, capsys: pytest.CaptureFixture[str]):
    def saves() -> Saves:
        return Saves(tmp_path, {"model": Weights(clock)}, {}, 1, clock=clock)

    saves().save(4, 0)
    manifest = tmp_path / "step-000004/manifest.json"
    told = json.loads(manifest.read_text())
    told["facts"]["machine"]["threads"] = 7
    told["facts"]["machine"]["versions"]["torch"] = "2.0.0"
    manifest.write_text(json.dumps(told))
    saves().resume()
    said = capsys.readouterr().err
    assert "warning: threads: 7 then, 1 now; what is still to come may differ" in said
    assert "warning: torch: 2.0.0 then, " in said
    with changes_told(["threads: 7 then, 1 now"]):
        saves().resume()
    assert "threads" not in capsys.readouterr().err, "the run that the stage is part of has said it"


def test_a_checkpoint_without_what_this_run_keeps_is_refused(tmp_path: Path, clock: Clock):
    Saves(tmp_path, {"model": Weights(clock)}, {}, 1, clock=clock).save(1, 0)
    kept = {"model": Weights(clock), "critic": Weights(clock)}
    with pytest.raises(CheckpointError, match=r"step-000001: holds no critic\.safetensors"):
        Saves(tmp_path, kept, {}, 1, clock=clock).resume()


@pytest.mark.parametrize(("given", "told"), [(-1, "or auto; found -1"), ("atuo", "auto"), (True, "must be a number")])
def test_when_to_save_is_a_number_of_steps_or_auto(given: object, told: str):
    with pytest.raises(ConfigError, match=told):
        resolve(MethodConfig, {"save_every": given})
    assert resolve(MethodConfig, {}).save_every == "auto"
    assert resolve(MethodConfig, {"save_every": "7"}).save_every == 7


def test_processes_that_only_wait_are_not_counted_as_those_that_compute(
    clock: Clock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    Saves(tmp_path, {"weights": Weights(clock)}, {}, 1, clock=clock).save(1, 0)
    for name, value in {"WORLD_SIZE": "2", "RANK": "0", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "1"}.items():
        monkeypatch.setenv(name, value)
    assert processes.started() == 2
    assert Saves(tmp_path, {"weights": Weights(clock)}, {}, 1, clock=clock).resume() == 0
    assert "processes" not in capsys.readouterr().err
