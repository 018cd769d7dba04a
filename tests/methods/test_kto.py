"""KTO: what a judgement is, where the baseline comes from, and that it learns."""

import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from methods.written import lines
from pydantic import ValidationError
from torch import Tensor

from burnish.batch.pack import pack
from burnish.batch.trees import trees
from burnish.data.convert import write
from burnish.data.templates import resolve
from burnish.errors import ConfigError, DataError
from burnish.methods.kto import BAD, GOOD, KTOConfig, apart, by_prompt, judged, kto, kto_loss
from burnish.methods.mismatched import with_mismatched
from burnish.models.load import Placement, load_policy
from burnish.models.model import Policy
from burnish.training.update import Update, loss_on
from burnish.types import Answer, Group, Tree


def judgements(count: int = 8) -> list[Group]:
    """Every other answer is good."""
    return [
        Group(f"{i} + 1 = ", (answer,), origin=f"j:{i}")
        for i in range(count)
        for answer in (Answer(f"{i + 1}.", label=True) if i % 2 else Answer("no idea", label=False),)
    ]


def config(**settings: Any) -> KTOConfig:
    return KTOConfig(**{"template": "none", "max_length": 64, "batch_size": 8} | settings)


@pytest.fixture(scope="module")
def policy(tiny_model: Path) -> Policy:
    return load_policy(tiny_model, Placement(dtype="float64"))


def rows_of(policy: Policy, groups: Sequence[Group], settings: KTOConfig) -> list[Tree]:
    made = judged(trees(groups, resolve(policy.tokenizer, "none"), max_length=64).trees, groups, settings)
    return with_mismatched(made, groups, 1, max_length=64, seed=settings.seed)


def reference(policy: Policy, rows: Sequence[Tree], away: dict[str, float]) -> dict[tuple[int, int], Tensor]:
    """Such that good answers have gained away["good"] nats, bad ones and those of others what `away` says of them."""
    table = policy.frozen_logprobs(rows, 4096)
    place = {(tree.group, b.answer): b.place for tree in rows for b in tree.branches}
    named = {GOOD: "good", BAD: "bad", -1: "other"}
    return {key: value.sum().reshape(1) - away[named[place[key]]] for key, value in table.items()}


def loss_of(policy: Policy, settings: KTOConfig, *, anchor: Policy | None = None, **away: float) -> float:
    rows = rows_of(policy, judgements(), settings)
    own, others = apart(rows)
    told = loss_on(own, kto_loss(policy, reference(anchor or policy, rows, away), others, settings))(pack(own))
    assert told.count == 8
    return told.total.item() / told.count


def sigma(x: float) -> float:
    return 1 / (1 + math.exp(-x))


# ---- the loss


def test_the_loss_measures_from_what_answers_to_other_prompts_have_gained(policy: Policy):
    settings = config(beta=0.5, desirable=1.5, undesirable=0.5)
    expected = (1.5 * (1 - sigma(0.5 * (2 - 0.7))) + 0.5 * (1 - sigma(0.5 * (0.7 + 1)))) / 2
    assert loss_of(policy, settings, good=2.0, bad=-1.0, other=0.7) == pytest.approx(expected)


def test_the_baseline_is_never_below_the_reference(policy: Policy):
    below = loss_of(policy, config(beta=0.5), good=2.0, bad=-1.0, other=-3.0)
    assert below == pytest.approx((1 - sigma(1.0) + sigma(-0.5)) / 2)
    assert below == pytest.approx(loss_of(policy, config(beta=0.5, loss="apo_zero"), good=2.0, bad=-1.0, other=5.0))


def test_bco_measures_from_the_middle_of_good_and_bad(policy: Policy):
    loss = loss_of(policy, config(beta=0.5, loss="bco"), good=2.0, bad=-1.0, other=9.0)
    assert loss == pytest.approx(-math.log(sigma(0.5 * 1.5)))


@pytest.mark.parametrize("loss", ["kto", "bco", "apo_zero"])
def test_the_baseline_is_the_whole_batch_s_however_it_is_cut(loss: str, tiny_model: Path):
    found = []
    for budget in (1, 4096):
        policy, settings = (
            load_policy(tiny_model, Placement(dtype="float64")),
            config(loss=loss, micro_batch_tokens=budget),
        )
        rows = rows_of(policy, judgements(), settings)
        table = policy.frozen_logprobs(rows, 4096)
        gains = {key: value.sum().reshape(1) - 0.4 * key[0] for key, value in table.items()}  # other parts, other gains
        own, others = apart(rows)
        update = Update(policy, settings)
        told = update(own, loss_on(own, kto_loss(policy, gains, others, settings)), step=0, steps=1)
        found.append(
            (told["loss"], told["baseline"], torch.cat([p.grad.flatten() for p in update.parameters.values()]))
        )
    (loss_a, baseline_a, gradient_a), (loss_b, baseline_b, gradient_b) = found
    assert (loss_a, baseline_a) == pytest.approx((loss_b, baseline_b), rel=1e-10)
    assert (gradient_a - gradient_b).norm() / gradient_b.norm() < 1e-10
    assert gradient_b.norm() > 0
    assert baseline_b == (0.0 if loss == "apo_zero" else pytest.approx(0.4 * 3.5))


def test_an_answer_at_the_baseline_is_half_right(policy: Policy):
    settings = config(loss="apo_zero")
    own, _ = apart(rows_of(policy, judgements(), settings))
    batch = pack(own)
    with torch.no_grad():
        nothing_gained = dict(zip(batch.keys, policy.logprob_sums(batch), strict=True))
    told = loss_on(own, kto_loss(policy, nothing_gained, {}, settings))(batch)
    assert told.figures["accuracy"].tolist() == [0.5] * 8


@pytest.mark.parametrize("loss", ["kto", "bco", "apo_zero"])
def test_the_padded_path_gives_the_same_loss(loss: str, policy: Policy, tiny_model: Path):
    padded = load_policy(tiny_model, Placement(dtype="float64"), packed=False)
    gained = {"good": 2.0, "bad": -1.0, "other": 0.7}
    packed, unrolled = (loss_of(one, config(loss=loss), anchor=policy, **gained) for one in (policy, padded))
    assert packed == pytest.approx(unrolled, rel=1e-10)


# ---- judgements


def test_a_score_is_good_from_a_number_on_and_a_label_stands_above_it(policy: Policy):
    scored = [
        replace(g, answers=(replace(g.answers[0], label=None, score=float(i)),)) for i, g in enumerate(judgements(4))
    ]
    scored[0] = replace(scored[0], answers=(replace(scored[0].answers[0], label=True),))
    rows = trees(scored, resolve(policy.tokenizer, "none"), max_length=64).trees
    assert [t.branches[0].place for t in judged(rows, scored, config(good_from=2.0))] == [GOOD, BAD, GOOD, GOOD]
    with pytest.raises(ConfigError, match="good_from: j:1 has a score, 1, and no label"):
        judged(rows, scored, config())


def test_an_answer_that_nobody_judged_is_refused(policy: Policy):
    groups = [replace(g, answers=(replace(g.answers[0], label=None),)) for g in judgements(2)]
    rows = trees(groups, resolve(policy.tokenizer, "none"), max_length=64).trees
    with pytest.raises(DataError, match="j:0: nobody has judged this answer"):
        judged(rows, groups, config())


def test_two_answers_are_no_judgement(policy: Policy):
    group = Group("a", (Answer("b", label=True), Answer("c", label=False)), origin="j:1")
    rows = trees([group], resolve(policy.tokenizer, "none"), max_length=64).trees
    with pytest.raises(DataError, match=r"j:1: a judgement is of one answer, .* found 2 answers"):
        judged(rows, [group], config())


def test_a_comparison_is_two_judgements(tiny_model: Path, tmp_path: Path):
    pairs = [Group(f"{i} + 1 = ", (Answer(f"{i + 1}."), Answer("no")), ((0,), (1,))) for i in range(4)]
    write(pairs, "comparison", tmp_path / "pairs.jsonl")
    figures = kto(tiny_model, tmp_path / "pairs.jsonl", config(steps=1), out=tmp_path / "out")
    assert figures["loss"] == pytest.approx(0.5, abs=1e-5)  # at the reference σ is ½ on either side
    assert figures["logp_good"] != figures["logp_bad"]


def test_judgements_of_one_prompt_are_one_tree_and_the_loss_is_that_of_their_rows(tiny_model: Path):
    found = []
    for together in (by_prompt, list):
        policy, settings = load_policy(tiny_model, Placement(dtype="float64")), config(beta=0.5)
        groups = [*judgements(6), *(replace(g, answers=(Answer("so", label=True),)) for g in judgements(6))]
        rows = together(rows_of(policy, groups, settings))
        own, others = apart(rows)
        loss = loss_on(
            own, kto_loss(policy, reference(policy, rows, {"good": 2, "bad": -1, "other": 0.7}), others, settings)
        )
        update = Update(policy, settings)
        told = update(own, loss, step=0, steps=1)
        found.append((told, torch.cat([p.grad.flatten() for p in update.parameters.values()])))
        assert [len(tree.branches) for tree in own] == [len(others[tree.group].branches) for tree in own]
    (merged, gradient), (apart_, expected) = found
    assert merged["loss"] == pytest.approx(apart_["loss"], rel=1e-10)
    assert merged["baseline"] == pytest.approx(0.7)
    assert (gradient - expected).norm() / expected.norm() < 1e-6  # norms are in float32 in every model of transformers
    assert merged["tokens"] < 0.8 * apart_["tokens"]


# ---- runs


@pytest.mark.parametrize("loss", ["kto", "bco", "apo_zero"])
def test_thirty_steps_tell_good_answers_from_bad_ones(loss: str, tiny_model: Path, tmp_path: Path):
    settings = config(loss=loss, steps=30, learning_rate=3e-3)
    figures = kto(tiny_model, judgements(), settings, out=tmp_path, evaluate_on=judgements())
    assert figures["accuracy"] == 1.0
    assert figures["gain_bad"] < figures["baseline"] < figures["gain_good"]
    assert figures["heldout_loss"] < figures["loss"] < lines(tmp_path)[0]["loss"]


def test_it_starts_at_its_reference(tiny_model: Path, tmp_path: Path):
    kto(tiny_model, judgements(), config(steps=1), out=tmp_path)
    first = lines(tmp_path)[0]
    assert (first["gain_good"], first["gain_bad"], first["baseline"]) == pytest.approx((0, 0, 0), abs=1e-4)


def test_a_run_that_goes_on_has_the_numbers_of_one_that_was_whole(tiny_model: Path, tmp_path: Path):
    settings = config(steps=4, batch_size=3, save_every=1, learning_rate=1e-3)
    whole = kto(tiny_model, judgements(), settings, out=tmp_path / "whole")
    kto(tiny_model, judgements(), settings, out=tmp_path / "parts")
    for folder in (tmp_path / "parts" / "checkpoints").glob("step-*4"):  # as if it had been killed after the third
        folder.rename(tmp_path / "gone")
    assert (tmp_path / "gone").exists()
    again = kto(tiny_model, judgements(), settings, out=tmp_path / "parts")
    clock = {"seconds", "tokens_per_second", "peak_gb"}
    assert {k: v for k, v in again.items() if k not in clock} == {k: v for k, v in whole.items() if k not in clock}


def test_rows_of_one_prompt_have_nothing_to_measure_from(tiny_model: Path, tmp_path: Path):
    groups = [replace(group, prompt="1 + 1 = ") for group in judgements()]
    with pytest.raises(ConfigError, match="loss: kto measures from answers to other prompts, and none of 1 prompts"):
        kto(tiny_model, groups, config(), out=tmp_path)
    kto(tiny_model, groups, config(loss="apo_zero", steps=1), out=tmp_path)


def test_good_and_bad_answers_that_do_not_weigh_alike_are_told(
    tiny_model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    groups = judgements(8)[1:] + judgements(12)[9::2]
    kto(tiny_model, groups, config(steps=1), out=tmp_path)
    told = capsys.readouterr().err
    assert "warning: 6 good answers of weight 1 weigh 2 times what 3 bad ones of 1 do" in told
    assert "undesirable: 2 makes it 1" in told
    kto(tiny_model, groups, config(steps=1, undesirable=2.0), out=tmp_path / "equal")
    assert "good answers of weight" not in capsys.readouterr().err


@pytest.mark.parametrize("key", ["desirable", "undesirable"])
def test_weights_are_kto_s_alone(key: str):
    with pytest.raises(ValidationError, match=f"{key}: loss: bco does not read it"):
        KTOConfig(loss="bco", **{key: 2.0})
