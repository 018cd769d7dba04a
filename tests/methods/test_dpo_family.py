"""DPO's relatives by name: what each starts from, what it reads and refuses, and that it learns."""

import copy
import math
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from methods.written import lines
from pydantic import ValidationError
from safetensors.torch import load_file
from torch import Tensor

from burnish.batch.pack import pack
from burnish.batch.trees import trees
from burnish.data.templates import resolve
from burnish.errors import ConfigError, DataError
from burnish.methods.carried import Anchor
from burnish.methods.dpo import DPOConfig, dpo, dpo_loss
from burnish.methods.dpo_settings import FORMS
from burnish.methods.rankings import NOTHING, Known
from burnish.models.adapters import Lora
from burnish.models.load import Placement, load_policy
from burnish.models.model import Policy
from burnish.training.update import Update, loss_on
from burnish.types import Answer, Group, Tree

RANKED = [
    Group(f"{i} + {i} = ", (Answer(f"{2 * i}."), Answer("no idea"), Answer("?!")), ((0,), (2,), (1,)), origin=f"r:{i}")
    for i in range(6)
]
PAIRED = [Group(group.prompt, group.answers[:2], ((0,), (1,)), origin=group.origin) for group in RANKED]
NOT_DEFAULT: dict[str, dict[str, Any]] = {"robust": {"smoothing": 0.1}}


def config(loss: str = "sigmoid", **settings: Any) -> DPOConfig:
    return DPOConfig(**{"loss": loss, "template": "none", **NOT_DEFAULT.get(loss, {}), **settings})


@pytest.fixture(scope="module")
def policy(tiny_model: Path) -> Policy:
    return load_policy(tiny_model, Placement(dtype="float64"))


def rows_of(policy: Policy, groups: Sequence[Group]) -> list[Tree]:
    return trees(groups, resolve(policy.tokenizer, "none"), max_length=64).trees


def sums(policy: Policy, rows: Sequence[Tree]) -> dict[tuple[int, int], Tensor]:
    return {key: logprob_L.sum().reshape(1) for key, logprob_L in policy.frozen_logprobs(rows, 4096).items()}


def loss_of(
    policy: Policy,
    groups: Sequence[Group],
    settings: DPOConfig,
    *,
    gain: float = 0.0,
    known: Known = NOTHING,
    anchor: Policy | None = None,
) -> float:
    """The loss of one batch, each answer's gain over `anchor` being `gain` times one more than its number."""
    rows = rows_of(policy, groups)
    reference = {key: value - gain * (key[1] + 1) for key, value in sums(anchor or policy, rows).items()}
    told = loss_on(rows, dpo_loss(policy, reference, settings, known))(pack(rows))
    return told.total.item() / told.count


# ---- where each starts: with gains of 0, or β times log-probabilities

AT_THE_REFERENCE = {
    "sigmoid": math.log(2),
    "ipo": (1 / 0.2) ** 2,
    "hinge": 1.0,
    "robust": math.log(2),
    "exo": 0.5 * math.log(0.5 / 0.999) + 0.5 * math.log(0.5 / 0.001),
    "discopop": 0.5 * math.log(2) + 0.5,
    "nca": 2 * math.log(2),
    "bco": 2 * math.log(2),
    "sppo": 2 * 500.0**2,  # its paper's β is 0.001
    "apo_zero": 1.0,
    "apo_down": 1.0,
    "plackett_luce": math.log(6),  # three answers have six orders
}


@pytest.mark.parametrize("loss", AT_THE_REFERENCE)
def test_at_the_reference_each_loss_is_what_its_formula_gives_for_equal_answers(loss: str, policy: Policy):
    assert loss_of(policy, RANKED, config(loss)) == pytest.approx(AT_THE_REFERENCE[loss])


@pytest.mark.parametrize("loss", ["cpo", "simpo", "orpo"])
def test_without_a_reference_log_probabilities_are_compared(loss: str, policy: Policy):
    """Each formula is written out, with its paper's settings, over log-probabilities of one pass."""
    expected = []
    for group, tree in zip(PAIRED, rows_of(policy, PAIRED), strict=True):
        table = policy.frozen_logprobs([tree], 4096)
        chosen_T, rejected_T = table[tree.group, 0], table[tree.group, 1]
        assert len(chosen_T) != len(rejected_T), group
        if loss == "cpo":
            value = -torch.sigmoid(0.1 * (chosen_T.sum() - rejected_T.sum())).log() - chosen_T.sum()
        elif loss == "simpo":
            value = -torch.sigmoid(2.0 * (chosen_T.mean() - rejected_T.mean()) - 1.0).log()
        else:
            p, q = chosen_T.mean().exp(), rejected_T.mean().exp()
            value = -0.1 * torch.sigmoid((p / (1 - p)).log() - (q / (1 - q)).log()).log() - chosen_T.mean()
        expected.append(value.item())
    assert loss_of(policy, PAIRED, config(loss)) == pytest.approx(sum(expected) / len(expected))


def test_every_name_is_measured_above():
    assert {*AT_THE_REFERENCE, "cpo", "simpo", "orpo"} == FORMS.keys()


# ---- what keys do; answers 0 and 1 of a pair have gained 1 and 2 nats


def z(x: float) -> float:
    return math.log1p(math.exp(-x))


def test_a_mean_a_token_divides_each_answer_by_its_own_length(policy: Policy):
    lengths = [[len(branch.tokens) for branch in tree.branches] for tree in rows_of(policy, PAIRED)]
    expected = sum((1 / a - 2 / b - 5) ** 2 for a, b in lengths) / len(lengths)
    assert loss_of(policy, PAIRED, config("ipo", length="mean"), gain=1.0) == pytest.approx(expected)


def test_target_margin_and_the_row_s_margin_add_up(policy: Policy):
    known = Known(margin={i: 0.25 * i for i in range(6)})
    settings = config(beta=0.5, margin="record", margin_scale=2.0, target_margin=0.3)
    expected = sum(z(-0.5 - 2.0 * 0.25 * i - 0.3) for i in range(6)) / 6
    assert loss_of(policy, PAIRED, settings, gain=1.0, known=known) == pytest.approx(expected)


def test_a_price_of_tokens_asks_less_of_a_pair_whose_better_answer_is_longer(policy: Policy):
    lengths = [[len(branch.tokens) for branch in tree.branches] for tree in rows_of(policy, PAIRED)]
    expected = sum(z(-0.5 + 0.1 * (a - b)) for a, b in lengths) / len(lengths)
    assert loss_of(policy, PAIRED, config(beta=0.5, length_price=0.1), gain=1.0) == pytest.approx(expected)


def test_a_tail_of_no_weight_compares_what_both_answers_have_a_token_of(policy: Policy):
    rows = rows_of(policy, PAIRED)
    reference = {key: value - 0.1 * (key[1] + 1) for key, value in policy.frozen_logprobs(rows, 4096).items()}
    shared = [min(len(branch.tokens) for branch in tree.branches) for tree in rows]
    told = loss_on(rows, dpo_loss(policy, reference, config(beta=0.5, length_tail=0.0)))(pack(rows))
    assert any(len(tree.branches[1].tokens) > size for tree, size in zip(rows, shared, strict=True))
    assert told.total.item() == pytest.approx(sum(z(0.5 * (0.1 - 0.2) * size) for size in shared))


def test_another_divergence_compares_its_own_rewards(policy: Policy):
    expected = z(0.5 * ((1 - math.exp(-1)) - (1 - math.exp(-2))))
    assert loss_of(policy, PAIRED, config(beta=0.5, divergence="forward_kl"), gain=1.0) == pytest.approx(expected)


def test_the_sft_term_is_the_mean_token_of_the_best_answers(policy: Policy):
    table = policy.frozen_logprobs(rows_of(policy, RANKED), 4096)
    expected = math.log(2) - 0.5 * sum(table[i, 0].mean().item() for i in range(6)) / 6
    assert loss_of(policy, RANKED, config(sft={"weight": 0.5})) == pytest.approx(expected)


@pytest.mark.parametrize("weight, pairs", [("prompt", 1), ("pair", 2)])
def test_answers_that_share_the_first_place_share_the_sft_term(weight: str, pairs: int, policy: Policy):
    """It weighs what its prompt's pairs do, so that dividing by the count leaves a mean over prompts or pairs."""
    group = Group("2 + 2 = ", RANKED[2].answers, ((0, 2), (1,)), origin="r:1")
    table = policy.frozen_logprobs(rows_of(policy, [group]), 4096)
    expected = math.log(2) - 0.5 * (table[0, 0].sum() + table[0, 2].sum()).item() / 2
    settings = config(weight=weight, sft={"weight": 0.5, "length": "sum"})
    assert loss_of(policy, [group], settings) == pytest.approx(expected)
    rows = rows_of(policy, [group])
    assert loss_on(rows, dpo_loss(policy, sums(policy, rows), settings))(pack(rows)).count == pairs


def test_wpo_weighs_a_pair_by_both_of_its_answers(policy: Policy):
    """log Σ p² of each token, from transformers' own logits."""
    rows, expected = rows_of(policy, PAIRED), 0.0
    for tree in rows:
        weight = 1.0
        for branch in tree.branches:
            with policy.stock() as model, torch.no_grad():
                logits_SV = model(torch.tensor([[*tree.prompt, *branch.tokens]])).logits[0]
            logprob_TV = logits_SV[len(tree.prompt) - 1 : -1].log_softmax(1)
            own_T = logprob_TV.gather(1, torch.tensor(branch.tokens)[:, None])[:, 0]
            weight *= (own_T - logprob_TV.exp().square().sum(1).log()).mean().exp().item()
        expected += weight * math.log(2) / len(rows)
    assert loss_of(policy, PAIRED, config(wpo=True)) == pytest.approx(expected, rel=1e-6)
    assert expected < 0.9 * math.log(2)


def test_plackett_luce_of_two_answers_is_dpo(policy: Policy):
    ours = loss_of(policy, PAIRED, config("plackett_luce", beta=0.5), gain=1.0)
    assert ours == pytest.approx(loss_of(policy, PAIRED, config(beta=0.5), gain=1.0))


def test_plackett_luce_of_three_is_the_probability_of_their_order(policy: Policy):
    """A, C, B with rewards ½, 1½, 1."""
    a, b, c = math.exp(0.5), math.exp(1.0), math.exp(1.5)
    expected = -math.log(a / (a + b + c) * c / (b + c))
    assert loss_of(policy, RANKED, config("plackett_luce", beta=0.5), gain=1.0) == pytest.approx(expected)


def test_bco_measures_from_the_mean_of_the_whole_batch(policy: Policy):
    """Chosen 1 nat and rejected 2 of every pair: the middle is 1.5."""
    expected = 2 * z(0.5 * (1 - 1.5))
    assert loss_of(policy, PAIRED, config("bco", beta=0.5), gain=1.0) == pytest.approx(expected)
    without = z(0.5 * 1) + z(-0.5 * 2)
    assert loss_of(policy, PAIRED, config("bco", beta=0.5, baseline="none"), gain=1.0) == pytest.approx(without)


# ---- how a batch is cut


@pytest.mark.parametrize("loss", FORMS)
def test_the_gradient_does_not_depend_on_how_the_batch_is_cut(loss: str, tiny_model: Path):
    found = []
    for budget in (1, 4096):
        policy = load_policy(tiny_model, Placement(dtype="float64"))
        rows = rows_of(policy, RANKED)
        # gains of a pair, and of a batch's parts, that differ
        reference = {key: value + 0.1 * key[0] - 0.3 * key[1] for key, value in sums(policy, rows).items()}
        settings = config(loss, micro_batch_tokens=budget, max_grad_norm=0)
        update = Update(policy, settings)
        told = update(rows, loss_on(rows, dpo_loss(policy, reference, settings)), step=0, steps=1, whole=True)
        found.append((told["loss"], torch.cat([p.grad.flatten() for p in update.parameters.values()])))
    (loss_a, gradient_a), (loss_b, gradient_b) = found
    assert loss_a == pytest.approx(loss_b, rel=1e-10)
    assert (gradient_a - gradient_b).norm() / gradient_b.norm() < 1e-10
    assert gradient_b.norm() > 0


@pytest.mark.parametrize("loss, settings", [(name, {}) for name in FORMS] + [("sigmoid", {"wpo": True})])
def test_the_padded_path_gives_the_same_loss(loss: str, settings: dict[str, Any], policy: Policy, tiny_model: Path):
    padded = load_policy(tiny_model, Placement(dtype="float64"), packed=False)
    packed, unrolled = (
        loss_of(one, RANKED, config(loss, **settings), gain=0.7, anchor=policy) for one in (policy, padded)
    )
    assert packed == pytest.approx(unrolled, rel=1e-10)


# ---- runs


def test_a_tail_that_counts_less_is_learned_from_gains_that_are_kept_a_token(tiny_model: Path, tmp_path: Path):
    settings = config(length_tail=0.5, steps=2, batch_size=6, max_length=64, learning_rate=1e-3)
    first = dpo(tiny_model, RANKED, settings, out=tmp_path)
    kept = load_file(tmp_path / "reference.safetensors")
    assert len(kept["values"]) == kept["lengths"].sum() > len(kept["keys"]) == 18
    shutil.rmtree(tmp_path / "checkpoints")
    again = dpo(tiny_model, RANKED, settings, out=tmp_path)
    assert again["loss"] == first["loss"]


@pytest.mark.parametrize("loss", [name for name in FORMS if name != "discopop"])  # it starts the wrong way
def test_twenty_steps_tell_the_better_answers_apart(loss: str, tiny_model: Path, tmp_path: Path):
    settings = config(loss, steps=20, batch_size=6, learning_rate=3e-3, max_length=64)
    figures = dpo(tiny_model, RANKED, settings, out=tmp_path, evaluate_on=RANKED)
    assert figures["loss"] < lines(tmp_path)[0]["loss"]
    assert figures["heldout_accuracy"] > 0.8
    assert (tmp_path / "reference.safetensors").exists() == FORMS[loss].reference


def test_figures_tell_where_the_chosen_answers_log_probability_goes(tiny_model: Path, tmp_path: Path):
    """The known failure: DPO is content when both fall, the rejected one further."""
    figures = dpo(tiny_model, RANKED, config(steps=20, batch_size=6, learning_rate=3e-3, max_length=64), out=tmp_path)
    first = lines(tmp_path)[0]
    assert (first["gain_chosen"], first["gain_rejected"]) == pytest.approx((0, 0), abs=1e-4)
    assert figures["gain_chosen"] == pytest.approx(figures["logp_chosen"] - first["logp_chosen"], abs=1e-3)
    assert figures["gain_rejected"] == pytest.approx(figures["logp_rejected"] - first["logp_rejected"], abs=1e-3)
    assert figures["gain_rejected"] < figures["gain_chosen"]
    assert 0 <= figures["chosen_fell"] <= 1


def test_an_sft_term_holds_the_chosen_answers_up(tiny_model: Path, tmp_path: Path):
    gained = []
    for name, weight in (("without", 0.0), ("with", 1.0)):
        settings = config(steps=20, batch_size=6, learning_rate=3e-3, max_length=64, sft={"weight": weight})
        gained.append(dpo(tiny_model, RANKED, settings, out=tmp_path / name)["gain_chosen"])
    assert gained[1] > gained[0] + 1
    assert gained[1] > 0


def test_margins_are_read_from_the_rows(tiny_model: Path, tmp_path: Path):
    groups = [Group(g.prompt, g.answers, g.order, margin=3.0, origin=g.origin) for g in PAIRED]
    settings = config(margin="record", steps=1, batch_size=6, max_length=64)
    assert dpo(tiny_model, groups, settings, out=tmp_path)["loss"] == pytest.approx(z(-3.0))
    with pytest.raises(ConfigError, match="margin: record: none of 6 training rows has `margin`"):
        dpo(tiny_model, PAIRED, settings, out=tmp_path / "none")


def test_another_reference_is_refused_where_there_is_none(tiny_model: Path, tmp_path: Path):
    with pytest.raises(ConfigError, match=r"reference: .*: loss: simpo has none; leave it out"):
        dpo("no/such/model", PAIRED, config("simpo"), out=tmp_path, reference=tiny_model)


# ---- a reference that follows

MOVING = {"batch_size": 6, "learning_rate": 1e-3, "max_length": 64}


def test_a_reference_that_follows_lies_where_the_policy_was_then(tiny_model: Path, tmp_path: Path):
    dpo(tiny_model, RANKED, config(**MOVING, steps=5, reference_every=2), out=tmp_path)
    away = [line["gain_chosen"] != 0 for line in lines(tmp_path)]
    assert away == [False, True, False, True, False]
    assert [line["loss"] == pytest.approx(math.log(2)) for line in lines(tmp_path)] == [not one for one in away]
    assert not (tmp_path / "reference.safetensors").exists()


def test_held_out_rows_are_held_to_the_model_that_came_in(tiny_model: Path, tmp_path: Path):
    """To one that has just followed, every policy would seem to have learned nothing."""
    settings = config(**MOVING, steps=4, reference_every=2, evaluate_every=2)
    dpo(tiny_model, RANKED, settings, out=tmp_path, evaluate_on=PAIRED)
    first, last = (line["heldout_loss"] for line in lines(tmp_path) if "heldout_loss" in line)
    assert last < first < math.log(2)


def test_more_ties_than_can_be_summed_over_are_told_with_their_row_before_the_first_step(
    tiny_model: Path, tmp_path: Path
):
    answers = tuple(Answer(f"{number}") for number in range(11))
    row = Group("a", answers, (tuple(range(10)), (10,)), origin="rankings.jsonl, row 3")
    with pytest.raises(DataError, match=r"rankings\.jsonl, row 3: 10 answers tie above others"):
        dpo(tiny_model, [row], config("plackett_luce", **MOVING, steps=1), out=tmp_path)


def test_it_follows_by_its_share(policy: Policy):
    """¾ of the way to the policy, in every weight."""
    reference = copy.deepcopy(policy)
    before = {name: weight.clone() for name, weight in reference.trainable().items()}
    moved = copy.deepcopy(policy)
    with torch.no_grad():
        for weight in moved.trainable().values():
            weight += 0.25
    anchor = Anchor(reference, moved, every=3, share=0.75)
    for steps in (1, 2):
        anchor.after(steps)
        assert all(torch.equal(weight, before[name]) for name, weight in reference.trainable().items())
    anchor.after(3)
    for name, weight in reference.trainable().items():
        torch.testing.assert_close(weight, before[name] + 0.75 * 0.25)


def test_a_run_with_a_moving_reference_goes_on_with_the_numbers_of_one_that_was_whole(tiny_model: Path, tmp_path: Path):
    settings = config(**MOVING, steps=6, save_every=1, reference_every=2, reference_share=0.5)
    whole = dpo(tiny_model, RANKED, settings, out=tmp_path / "whole")
    dpo(tiny_model, RANKED, settings, out=tmp_path / "parts")
    for step in (5, 6):  # as if it had been killed after the fourth, when the reference had moved twice
        (folder,) = (tmp_path / "parts" / "checkpoints").glob(f"step-*{step}")
        folder.rename(tmp_path / f"gone{step}")
    again = dpo(tiny_model, RANKED, settings, out=tmp_path / "parts")
    clock = {"seconds", "tokens_per_second", "peak_gb"}
    assert {k: v for k, v in again.items() if k not in clock} == {k: v for k, v in whole.items() if k not in clock}


@pytest.mark.parametrize("loss", ["bco", "plackett_luce"])
def test_losses_of_whole_batches_and_orders_take_a_moving_reference_too(loss: str, tiny_model: Path, tmp_path: Path):
    figures = dpo(tiny_model, RANKED, config(loss, **MOVING, steps=3, reference_every=2), out=tmp_path)
    assert (figures["gain_chosen"], figures["loss"]) == (0, pytest.approx(AT_THE_REFERENCE[loss]))


def test_a_reference_that_cannot_follow_is_refused_with_the_reason(tiny_model: Path, tmp_path: Path):
    with pytest.raises(ValidationError, match="with lora the reference is the same weights"):
        config(reference_every=2, lora=Lora())
    with pytest.raises(ValidationError, match="reference_every: loss: simpo does not read it"):
        config("simpo", reference_every=2)
    with pytest.raises(ValidationError, match="reference_share is how far reference_every follows"):
        config(reference_share=0.5)
    with pytest.raises(ConfigError, match=r"reference_share: 0\.5: in bfloat16 so small a step of a weight is rounded"):
        dpo(tiny_model, PAIRED, config(reference_every=2, reference_share=0.5, dtype="bfloat16"), out=tmp_path)
    with pytest.raises(ConfigError, match="reference_every: a reference is named"):
        dpo(tiny_model, PAIRED, config(reference_every=2), out=tmp_path, reference=tiny_model)
