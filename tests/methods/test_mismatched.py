"""Answers to other prompts below each ranking: whose they are, what they weigh, what a model learns from them."""

from pathlib import Path

import pytest
import torch
from torch.nn.functional import logsigmoid

from burnish.batch.pack import pack
from burnish.batch.trees import trees
from burnish.data.templates import resolve
from burnish.methods.mismatched import is_mismatched, with_mismatched
from burnish.methods.rankings import Known
from burnish.methods.reward import RewardConfig, order_loss, reward
from burnish.models.load import Placement, load_scorer
from burnish.models.model import Scorer
from burnish.types import Answer, Group, Tree


def fitting(count: int, first: int = 0) -> list[Group]:
    """The better answer names the letter that was asked for and ends in `!`."""
    return [
        Group(f"{n}: say {letter} ", (Answer(f"{letter}!"), Answer(f"{letter}?")), ((0,), (1,)), origin=f"fits:{n}")
        for n in range(first, first + count)
        for letter in (chr(ord("a") + n % 4),)
    ]


@pytest.fixture(scope="module")
def scorer(tiny_model: Path) -> Scorer:
    return load_scorer(tiny_model, Placement(dtype="float64"), fresh_head=True)


@pytest.fixture(scope="module")
def rows(scorer: Scorer) -> tuple[list[Tree], list[Group]]:
    groups = fitting(12)
    return trees(groups, resolve(scorer.tokenizer, "none"), max_length=64).trees, groups


# ---- whose they are


def test_they_are_other_prompts_answers_of_no_place(rows):
    own, groups = rows
    of_text = {branch.tokens: groups[tree.group].prompt for tree in own for branch in tree.branches}
    for tree, before in zip(with_mismatched(own, groups, 3, max_length=64, seed=0), own, strict=True):
        assert tree.branches[:2] == before.branches
        added = tree.branches[2:]
        assert [branch.answer for branch in added] == [-1, -2, -3]
        assert all(branch.place == -1 and is_mismatched(branch.answer) for branch in added)
        assert all(of_text[branch.tokens] != groups[tree.group].prompt for branch in added)
        assert len({branch.tokens for branch in tree.branches}) == 5  # none twice, none of its own


def test_the_same_seed_draws_the_same_and_another_others(rows):
    first, again, other = (with_mismatched(*rows, 1, max_length=64, seed=seed) for seed in (0, 0, 1))
    assert first == again != other


def test_rows_that_ask_the_same_lend_each_other_nothing(rows):
    own, groups = rows
    same = [Group(groups[0].prompt, group.answers, group.order) for group in groups]
    assert with_mismatched(own, same, 2, max_length=64, seed=0) == own


def test_none_is_cut_to_fit(rows):
    own, groups = rows
    longest = max(len(tree.prompt) + len(branch.tokens) for tree in own for branch in tree.branches)
    assert all(
        len(tree.prompt) + len(branch.tokens) <= longest
        for tree in with_mismatched(own, groups, 2, max_length=longest, seed=0)
        for branch in tree.branches
    )
    shortest = min(len(tree.prompt) for tree in own)
    assert with_mismatched(own, groups, 2, max_length=shortest, seed=0) == own


# ---- what they weigh


def test_their_share_of_a_prompt_s_loss_is_as_stated_however_many_they_are(scorer: Scorer, rows):
    """A prompt weighs 1: ¾ on its own pair, ¼ on the mean of its answers above another's; raters weigh both."""
    own, groups = rows
    for count in (1, 3):
        (tree,) = with_mismatched(own, groups, count, max_length=64, seed=0)[:1]
        with torch.no_grad():
            better, worse, *others = scorer.scores(pack([tree]))
        above = -sum(logsigmoid(mine - other) for mine in (better, worse) for other in others) / (2 * count)
        expected = 0.75 * -logsigmoid(better - worse) + 0.25 * above
        for settings in ({}, {"loss": "plackett_luce"}):
            told = order_loss(scorer, RewardConfig(mismatched=count, **settings))(pack([tree]))
            torch.testing.assert_close(told.total.detach(), expected, rtol=1e-10, atol=0)
            assert told.count == 1
            assert len(told.figures["accuracy"]) == 1  # their pairs are told apart from people's
        known = Known(weight={0: 3.0})
        weighed = order_loss(scorer, RewardConfig(mismatched=count), known)(pack([tree]))
        torch.testing.assert_close(weighed.total.detach(), 3 * expected, rtol=1e-10, atol=0)


def test_by_pairs_a_prompt_s_share_grows_with_its_pairs(scorer: Scorer, rows):
    own, groups = rows
    (tree,) = with_mismatched(own, groups, 1, max_length=64, seed=0)[:1]
    told = {
        weight: order_loss(scorer, RewardConfig(mismatched=1, weight=weight))(pack([tree]))
        for weight in ("prompt", "pair")
    }
    torch.testing.assert_close(told["pair"].total, told["prompt"].total)  # of one pair it is the same
    assert told["pair"].count == 1


def test_where_none_was_found_the_whole_weight_is_on_the_own_order(scorer: Scorer, rows):
    own, _ = rows
    with_none, without = (order_loss(scorer, RewardConfig(mismatched=k))(pack(own[:2])) for k in (1, 0))
    assert torch.equal(with_none.total, without.total)


# ---- what a model learns


def test_a_score_rises_with_how_well_an_answer_fits_only_where_it_was_taught(tiny_model: Path, tmp_path: Path):
    """What makes the better answer better, `!`, is the same whatever was asked; to fit, the letter must be read."""
    settings = {"steps": 90, "batch_size": 16, "learning_rate": 3e-3, "max_length": 64, "heldout": 0}
    figures = {
        count: reward(
            tiny_model,
            fitting(400),
            RewardConfig(**settings, mismatched=count, mismatched_share=0.5),
            out=tmp_path / str(count),
            evaluate_on=fitting(60, first=400),
        )
        for count in (0, 1)
    }
    assert figures[0]["heldout_accuracy"] > 0.95
    assert figures[1]["heldout_accuracy"] > 0.95
    assert figures[0]["own_above_other"] < 0.75
    assert figures[1]["own_above_other"] > 0.85
