import json
import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from training.test_loop import cross_entropy, lines, rows, settings, weights

from burnish.batch.pack import TreeBatch
from burnish.errors import NonFiniteLoss
from burnish.models.load import load_policy
from burnish.models.model import Policy
from burnish.training.bad_batch import bad_batches
from burnish.training.config import MethodConfig
from burnish.training.loop import train_on
from burnish.training.order import Order
from burnish.training.update import Loss, StepLoss, Update

SKIP = {"on_nonfinite": "skip", "save_every": 2}


def spoilt(policy: Policy, *groups: int, killed_in: int = 0) -> Loss:
    """A loss that is no number where a batch holds one of these groups. `killed_in`: the call that is its last."""
    calls = []

    def loss(batch: TreeBatch) -> StepLoss:
        calls.append(1)
        if len(calls) == killed_in:
            raise KeyboardInterrupt
        told = cross_entropy(policy)(batch)
        bad = any(tree.group in groups for tree in batch.trees)
        return replace(told, total=told.total * math.nan) if bad else told

    return loss


def run(model: Path, out: Path, *groups: int, killed_in: int = 0, **changes: object) -> Policy:
    policy = load_policy(model)
    loss = spoilt(policy, *groups, killed_in=killed_in)
    train_on(policy, rows(), loss, settings(**(SKIP | changes)), out=out, identity={"rows": "these"})
    return policy


def met_in(group: int) -> int:
    """The step, counted from 1, that learns from a group; six steps of four rows are one epoch."""
    order = Order.of(24, settings())
    (step,) = (i for i in range(order.steps) if group in order.at(i))
    return step + 1


def one_of(step: int) -> int:
    """A group that this step learns from."""
    return Order.of(24, settings()).at(step - 1)[0]


def test_a_nan_stops_the_run_before_the_weights_change(tiny_model: Path, tmp_path: Path):
    policy = load_policy(tiny_model)
    before = weights(policy)
    with pytest.raises(NonFiniteLoss, match="step 1"):
        train_on(policy, rows(), spoilt(policy, *range(24)), settings(), out=tmp_path, identity={})
    assert all(torch.equal(a, b) for a, b in zip(weights(policy), before, strict=True))
    (batch,) = bad_batches(tmp_path)
    assert (batch["step"], batch["loss"], len(batch["rows"])) == (1, "nan", 4)
    (line,) = lines(tmp_path)
    assert math.isnan(line["loss"])


def test_outside_of_a_run_a_nan_is_an_error(tiny_model: Path):
    policy = load_policy(tiny_model)
    with pytest.raises(NonFiniteLoss):
        Update(policy, settings(**SKIP))(rows(4), spoilt(policy, 0), step=0, steps=1)


def test_a_batch_left_out_is_as_one_that_was_never_there(
    tiny_model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    config: MethodConfig = settings(**SKIP)
    left_out, order = met_in(5), Order.of(24, config)
    policy = load_policy(tiny_model)
    update = Update(policy, config)
    losses = [
        update(order.take(rows(), i), cross_entropy(policy), step=i, steps=order.steps)["loss"]
        for i in range(order.steps)
        if i + 1 != left_out
    ]
    found = run(tiny_model, tmp_path, 5)
    assert all(torch.equal(a, b) for a, b in zip(weights(found), weights(policy), strict=True))
    told = lines(tmp_path)
    assert math.isnan(told[left_out - 1]["loss"])
    assert [line["loss"] for line in told if line["step"] != left_out] == losses
    assert [line.get("skipped", 0) for line in told] == [int(line["step"] >= left_out) for line in told]
    (batch,) = bad_batches(tmp_path)
    own = {row["group"]: row["loss"] for row in batch["rows"]}
    assert own.pop(5) == "nan"
    assert len(own) == 3
    assert all(isinstance(loss, float) for loss in own.values())
    assert f"step {left_out}: loss nan" in (said := capsys.readouterr().err)
    assert "batch 1 of at most 3" in said


def test_a_killed_run_that_left_a_batch_out_goes_on_bit_by_bit(tiny_model: Path, tmp_path: Path):
    first, second = one_of(2), one_of(5)
    whole = run(tiny_model, tmp_path / "whole", first, second)
    with pytest.raises(KeyboardInterrupt):  # step 2 costs five calls: its batch, then each row alone
        run(tiny_model, tmp_path / "cut", first, second, killed_in=9)
    resumed = run(tiny_model, tmp_path / "cut", first, second)
    assert json.dumps(lines(tmp_path / "cut")) == json.dumps(lines(tmp_path / "whole"))  # a NaN is not equal to itself
    assert all(torch.equal(a, b) for a, b in zip(weights(resumed), weights(whole), strict=True))
    assert bad_batches(tmp_path / "cut") == bad_batches(tmp_path / "whole")
    assert lines(tmp_path / "cut")[-1]["skipped"] == 2


def test_one_batch_too_many_ends_the_run_which_goes_on_once_more_are_allowed(tiny_model: Path, tmp_path: Path):
    bad = [one_of(step) for step in (1, 3, 6)]
    with pytest.raises(NonFiniteLoss, match="step 1"):
        run(tiny_model, tmp_path / "cut", *bad, on_nonfinite="abort")
    for most, step in ((1, 3), (2, 6)):
        with pytest.raises(NonFiniteLoss, match=f"step {step}") as ended:
            run(tiny_model, tmp_path / "cut", *bad, max_skipped=most)
        assert ended.value.__notes__ == [f"{most} batches were left out before, and max_skipped is {most}"]
        assert len(bad_batches(tmp_path / "cut")) == most + 1
    resumed, whole = run(tiny_model, tmp_path / "cut", *bad), run(tiny_model, tmp_path / "whole", *bad)
    assert all(torch.equal(a, b) for a, b in zip(weights(resumed), weights(whole), strict=True))
    assert json.dumps(lines(tmp_path / "cut")) == json.dumps(lines(tmp_path / "whole"))
    assert bad_batches(tmp_path / "cut") == bad_batches(tmp_path / "whole")


def test_at_least_one_is_left_out():
    with pytest.raises(ValueError, match="max_skipped"):
        settings(on_nonfinite="skip", max_skipped=0)
