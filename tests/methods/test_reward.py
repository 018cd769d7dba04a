"""What the reward model's loss is made of: raters' weights, ties, margins, centring, each equal to its formula."""

import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn.functional import logsigmoid

from burnish.batch.pack import micro_batches, pack
from burnish.data.split import split_by_prompt
from burnish.errors import ConfigError
from burnish.methods.rankings import Known, decided, margins, placed, rater_weights
from burnish.methods.reward import NOTHING, RewardConfig, order_loss, reward
from burnish.methods.scoring import score_groups
from burnish.models.adapters import Lora
from burnish.models.load import Placement, load_scorer
from burnish.models.model import Scorer
from burnish.training.config import resolve
from burnish.types import Answer, Branch, Group, Tree


@pytest.fixture(scope="module")
def scorer(tiny_model: Path) -> Scorer:
    return load_scorer(tiny_model, Placement(dtype="float64"), fresh_head=True)


def ranked(places: Sequence[int], group: int = 0, scores: Sequence[float] = ()) -> Tree:
    """A prompt of three bytes with an answer a place, no two alike."""
    scores = scores or [math.nan] * len(places)
    branches = tuple(
        Branch((70 + 9 * group + i, 90 - i, 256), (True,) * 3, place=place, answer=i, score=score)
        for i, (place, score) in enumerate(zip(places, scores, strict=True))
    )
    return Tree((65, 66, 67 + group), branches, group=group, origin=f"ranked:{group + 1}")


ROWS = [ranked([1, 0, 2], 0), ranked([0, 1], 1), ranked([0, 1, 1, 0], 2)]


def value(
    scorer: Scorer, rows: Sequence[Tree], known: Known = NOTHING, budget: int = 10_000, **settings: Any
) -> Tensor:
    """The loss of a global batch: the sum over its micro-batches, divided once."""
    loss = order_loss(scorer, RewardConfig(**settings), known)
    told = [loss(pack(part)) for part in micro_batches(rows, budget, whole=True)]
    return sum(part.total for part in told) / sum(part.count for part in told)


@torch.no_grad()
def scores(scorer: Scorer, row: Tree) -> Tensor:
    return scorer.scores(pack([row]))


def close(one: Tensor, other: Any) -> None:
    torch.testing.assert_close(one.detach(), torch.as_tensor(other, dtype=torch.float64), rtol=1e-10, atol=0)


OPTIONS: list[dict[str, Any]] = [
    {},
    {"weight": "pair"},
    {"loss": "plackett_luce"},
    {"loss": "plackett_luce", "centre": 0.1},
    {"ties": "zero_margin", "smoothing": 0.1, "centre": 0.1},
    {"margin": "record", "margin_scale": 0.5, "weight": "pair", "ties": "zero_margin"},
]
KNOWN = Known(weight={0: 0.5, 1: 2.0}, margin={0: 1.0, 2: 0.3})


# ---- whatever is set


@pytest.mark.parametrize("settings", OPTIONS, ids=str)
def test_the_loss_and_its_gradient_do_not_depend_on_how_the_batch_is_cut(scorer: Scorer, settings: dict[str, Any]):
    gradients = []
    for budget in (1, 10_000):
        scorer.model.zero_grad()
        loss = value(scorer, ROWS, KNOWN, budget, **settings)
        loss.backward()
        gradients.append((loss.detach(), torch.cat([p.grad.flatten() for p in scorer.trainable().values()])))
    (one, gradient), (other, other_gradient) = gradients
    close(one, other)
    assert (gradient - other_gradient).norm() <= 1e-10 * other_gradient.norm()


@pytest.mark.parametrize("settings", OPTIONS, ids=str)
def test_weights_that_are_all_one_change_no_bit(scorer: Scorer, settings: dict[str, Any]):
    with_weights = Known(weight={0: 1.0, 1: 1.0, 2: 1.0}, margin=KNOWN.margin)
    without = Known(margin=KNOWN.margin)
    assert torch.equal(value(scorer, ROWS, with_weights, **settings), value(scorer, ROWS, without, **settings))


@pytest.mark.parametrize("off", [{"centre": 0.0}, {"smoothing": 0.0}, {"margin": "record"}, {"ties": "zero_margin"}])
def test_an_option_that_finds_nothing_to_do_changes_no_bit(scorer: Scorer, off: dict[str, Any]):
    """No margin is known here, and no two of these answers tie."""
    assert torch.equal(value(scorer, ROWS[:2], **off), value(scorer, ROWS[:2]))


# ---- raters


def test_a_ranking_weighs_as_its_rater_and_the_rankings_are_counted(scorer: Scorer):
    each = [value(scorer, [row]) for row in ROWS]
    weighed = value(scorer, ROWS, Known(weight={0: 0.5, 1: 2.5, 2: 0.0}))
    close(weighed, (0.5 * each[0] + 2.5 * each[1]).detach() / 3)


def rated(prompt: int, annotator: str | None, best: int) -> Group:
    extra = {"annotator": annotator} if annotator else {}
    answers = (Answer(f"{prompt} it is"), Answer(f"not {prompt}"))
    return Group(f"is it {prompt}? ", answers, ((best,), (1 - best,)), origin=f"rated:{prompt}", extra=extra)


def crowd(prompts: int = 40) -> list[Group]:
    """ann and bob agree that the first is better; cy says so every other time."""
    return [
        group
        for n in range(prompts)
        for group in (rated(n, "ann", 0), rated(n, "bob", 0), rated(n, "cy", n % 2), rated(n + 1000, None, 0))
    ]


def test_weights_are_of_taught_rows_and_have_a_mean_of_one():
    groups = crowd()
    rows = [ranked([0, 1], group=index) for index in range(0, len(groups), 2)]  # ann and cy
    weights = rater_weights(groups, rows)
    assert weights.keys() == {row.group for row in rows}
    assert sum(weights.values()) / len(weights) == pytest.approx(1)
    assert weights[0] > 3 * weights[2]


def test_rows_by_nobody_better_than_a_coin_are_refused():
    groups = [rated(n, name, name == "dee") for n in range(20) for name in ("ann", "bob", "cy", "dee")]
    by_dee = [ranked([0, 1], group=index) for index in range(3, 80, 4)]
    with pytest.raises(ConfigError, match="annotator_weight: of 20 rankings none is by an annotator who is right more"):
        rater_weights(groups, by_dee)


SHORT = {"steps": 25, "batch_size": 8, "learning_rate": 1e-3, "max_length": 64, "heldout": 0}


def test_whoever_contradicts_the_others_outvotes_them_only_where_raters_weigh_alike(tiny_model: Path, tmp_path: Path):
    """On shared prompts dee says the opposite of three who agree; on 120 of her own, hers is the only voice.

    By rows she outvotes them; by reliability her rows weigh nothing.
    """
    shared = [rated(n, name, 0) for n in range(20) for name in ("ann", "bob", "cy")]
    groups = shared + [rated(n, "dee", 1) for n in range(140)]
    test = [rated(n, None, 0) for n in range(500, 530)]
    accuracy = {
        weighed: reward(
            tiny_model,
            groups,
            RewardConfig(**SHORT, annotator_weight=weighed),
            out=tmp_path / str(weighed),
            evaluate_on=test,
        )["heldout_accuracy"]
        for weighed in (False, True)
    }
    assert accuracy[False] < 0.2
    assert accuracy[True] > 0.8


# ---- ties


def test_a_full_tie_is_left_out_or_drawn_level(scorer: Scorer):
    row = ranked([0, 0])
    gap = scores(scorer, row).diff().squeeze()
    close(value(scorer, [row], ties="zero_margin"), -0.5 * (logsigmoid(gap) + logsigmoid(-gap)))
    assert (decided([row]), placed([row])) == ([], [row])


def test_a_prompt_with_tied_pairs_still_counts_once(scorer: Scorer):
    row = ranked([0, 1, 1])
    first, second, third = scores(scorer, row)
    gap = second - third
    by_hand = -(logsigmoid(first - second) + logsigmoid(first - third) + 0.5 * (logsigmoid(gap) + logsigmoid(-gap))) / 3
    close(value(scorer, [row], ties="zero_margin"), by_hand)


def test_tied_answers_come_to_score_alike_where_ties_are_drawn_level(tiny_model: Path, tmp_path: Path):
    groups = [
        Group(f"{n} ", (Answer("good one"), Answer("gold one"), Answer("bad")), ((0, 1), (2,)), origin=f"tied:{n}")
        for n in range(24)
    ]
    gaps = {}
    for ties in ("left_out", "zero_margin"):
        out = tmp_path / ties
        reward(tiny_model, groups, RewardConfig(**SHORT, ties=ties), out=out)
        trained = load_scorer(out / "model")
        given = score_groups(trained, groups, RewardConfig(max_length=64)).total
        gaps[ties] = sum(abs(row[0] - row[1]) for row in given) / sum(abs(row[0] - row[2]) for row in given)
    assert gaps["zero_margin"] < 0.5 * gaps["left_out"]


# ---- margins, smoothing, centring


def test_a_margin_of_the_record_is_taken_off_every_pair_of_it(scorer: Scorer):
    first, second = scores(scorer, ROWS[1])
    close(
        value(scorer, [ROWS[1]], Known(margin={1: 2.0}), margin="record", margin_scale=0.25),
        -logsigmoid(first - second - 0.5),
    )


def test_a_margin_by_scores_never_turns_a_pair_round(scorer: Scorer):
    agreed, contradicted, half_known = ([3.0, 1.0], [1.0, 3.0], [3.0, math.nan])
    gap = -scores(scorer, ranked([0, 1])).diff().squeeze()
    close(value(scorer, [ranked([0, 1], scores=agreed)], margin="scores"), -logsigmoid(gap - 2))
    for told in (contradicted, half_known):
        close(value(scorer, [ranked([0, 1], scores=told)], margin="scores"), -logsigmoid(gap))


def test_margins_are_read_from_the_record_or_its_confidence():
    groups = [replace(rated(0, None, 0), margin=0.7), replace(rated(1, None, 0), extra={"confidence": 3})]
    rows = [ranked([0, 1], group=0), ranked([0, 1], group=1)]
    assert margins(groups, rows, "record") == {0: 0.7}
    assert margins(groups, rows, "confidence") == {1: 3.0}
    assert margins(groups, rows, "none") == {}


@pytest.mark.parametrize("source, what", [("record", "`margin`"), ("confidence", "`confidence`"), ("scores", "scores")])
def test_a_margin_that_no_row_has_is_refused(source: Any, what: str):
    with pytest.raises(ConfigError, match=rf"margin: {source}: none of 1 training rows has .*{what}"):
        margins([rated(0, None, 0)], [ranked([0, 1])], source)
    assert margins([rated(0, None, 0)], [ranked([0, 1])], source, wanted=False) == {}


def test_a_confidence_in_words_is_refused_by_its_row():
    group = replace(rated(4, None, 0), extra={"confidence": "high"})
    with pytest.raises(ConfigError, match="rated:4: margin: confidence: must be a finite number; found 'high'"):
        margins([group], [ranked([0, 1])], "confidence")


def test_the_centring_term_is_added_pair_by_pair(scorer: Scorer):
    first, second = scores(scorer, ROWS[1])
    for loss in ("pairwise", "plackett_luce"):
        close(
            value(scorer, [ROWS[1]], loss=loss, centre=0.5),
            -logsigmoid(first - second) + 0.5 * (first + second) ** 2,
        )


def test_what_is_known_besides_orders_belongs_to_a_run():
    rows = [ranked([0, 1], scores=[1.0, 0.0])]
    assert Known().identity(rows, "none") == {}
    told = [Known(weight={0: 1.0}).identity(rows, "none"), Known(margin={0: 1.0}).identity(rows, "record")]
    told += [Known().identity(rows, "scores"), Known().identity([ranked([0, 1], scores=[2.0, 0.0])], "scores")]
    assert len({one["weights_and_margins"] for one in told}) == 4


@pytest.mark.parametrize(
    "key, given", [("weight", "pair"), ("ties", "zero_margin"), ("margin", "record"), ("smoothing", 0.1)]
)
def test_what_is_of_pairs_is_refused_beside_plackett_luce(key: str, given: object):
    with pytest.raises(ConfigError, match=f"{key}: {given} is of pairs, and loss: plackett_luce has none"):
        resolve(RewardConfig, {"loss": "plackett_luce", key: given})


def test_a_reward_model_trained_with_lora_is_brought_to_one_scale_and_saved_merged(tiny_model: Path, tmp_path: Path):
    rows = [Group(f"{n} is ", (Answer("yes"), Answer("no"), Answer("so")), ((0,), (1,), (2,))) for n in range(12)]
    config = RewardConfig(steps=3, learning_rate=1e-2, lora=Lora(rank=2), max_length=32, heldout=0.25)
    reward(tiny_model, rows, config, out=tmp_path)
    held = split_by_prompt(rows, 0.25, seed=0)[1]
    table = score_groups(tmp_path / "model", held, config).total
    within = [score - sum(row) / 3 for row in table for score in row]
    assert sum(gap**2 for gap in within) / (2 * len(held)) == pytest.approx(1, abs=1e-3)
    assert sum(map(sum, table)) == pytest.approx(0, abs=1e-3)
