"""A reward model learns from rankings what the rewards behind them know, and no less.

Answers are strings of six letters, and each letter is worth something: a reward that a model of two layers can express.
Each ranking is the order of rewards with Gumbel noise (Luce's model), rounded to a grid, so that some answers tie. On
the pairs that other rankings decide, the known reward is right as often as anything can be.
"""

from itertools import product
from pathlib import Path

import numpy as np
import pytest
from listed import LETTERS, language_model

from burnish.data.fields import order_of_ranks
from burnish.methods.reward import RewardConfig, reward
from burnish.methods.scoring import score_groups
from burnish.models.load import load_scorer
from burnish.types import Answer, Group

WORTH = {"a": 1.0, "b": -0.7, "c": 0.2}
GRID = 1.0
LONG = 6
TAUGHT, HELD_OUT = 1000, 1200
SETTINGS = {"template": "none", "max_length": 16, "heldout": 0, "micro_batch_tokens": 8192}


def worth(text: str) -> float:
    return sum(WORTH[letter] for letter in text)


def rankings(count: int, held_out: bool, seed: int) -> list[Group]:
    """Two to nine unlike answers to a prompt of four letters; every third prompt is held out."""
    chance = np.random.default_rng(seed)
    prompts = [some for some in product(range(len(LETTERS)), repeat=4) if (sum(some) % 3 == 0) == held_out]
    made = []
    for number in range(count):
        prompt = "".join(LETTERS[i] for i in prompts[chance.integers(len(prompts))])
        size = 2 + number % 8
        texts: set[str] = set()
        while len(texts) < size:
            texts.add("".join(chance.choice(list(LETTERS), LONG)))
        answers = sorted(texts)
        noisy = np.array([worth(text) for text in answers]) + chance.gumbel(size=size)
        order = order_of_ranks(list(-np.round(noisy / GRID)))
        made.append(Group(prompt, tuple(map(Answer, answers)), order, origin=f"counts:{seed}:{number + 1}"))
    return made


def right(groups: list[Group], scores: list[list[float]]) -> tuple[float, int]:
    """The share of decided pairs whose better answer scores higher, equal scores half; and how many those are."""
    won = [
        0.5 * (1 + np.sign(own[better] - own[worse]))
        for group, own in zip(groups, scores, strict=True)
        for place, tied in enumerate(group.order)
        for better in tied
        for worse in (answer for below in group.order[place + 1 :] for answer in below)
    ]
    return float(np.mean(won)), len(won)


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return language_model(tmp_path_factory.mktemp("counts") / "base")


@pytest.mark.parametrize("loss", [{"loss": "pairwise", "weight": "pair"}, {"loss": "plackett_luce"}], ids=str)
def test_held_out_accuracy_is_within_a_point_of_the_known_reward_s(base: Path, tmp_path: Path, loss: dict[str, str]):
    held = rankings(HELD_OUT, held_out=True, seed=1)
    assert sum(any(len(tied) > 1 for tied in group.order) for group in held) > HELD_OUT / 2
    known, pairs = right(held, [[worth(answer.text) for answer in group.answers] for group in held])
    assert pairs >= 10_000
    assert 0.7 < known < 0.95  # else nothing was there to learn, or nothing to err in

    config = RewardConfig(**SETTINGS, **loss, batch_size=10, epochs=2, learning_rate=3e-3, seed=0)
    reward(base, rankings(TAUGHT, held_out=False, seed=0), config, out=tmp_path)
    found, _ = right(held, score_groups(load_scorer(tmp_path / "model"), held, config).total)
    assert found == pytest.approx(known, abs=0.01)
