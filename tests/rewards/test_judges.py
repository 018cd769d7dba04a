"""The shipped judges: right often enough on labels that they never saw, and not to be bought with praise."""

import gzip
import json
import random
from importlib import resources

import pytest

from burnish.errors import ConfigError, DataError, MissingInput
from burnish.evaluation.intervals import proportion
from burnish.rewards.judges import (
    fit_judge,
    load_judge,
    right,
    save_judge,
    sentence,
    sentences_hash,
    shipped,
    shipped_names,
)
from burnish.rewards.words import words
from burnish.types import Message

A, B = "favourable-a", "favourable-b"


def labelled(name):
    text = resources.files("burnish").joinpath(f"assets/demo/{name}").read_text(encoding="utf-8")
    rows = [json.loads(line) for line in text.splitlines()]
    return [row["prompt"] + row["response"] for row in rows], [row["label"] for row in rows]


@pytest.fixture(scope="module")
def heldout():
    return labelled("heldout_labels.jsonl")


def test_both_judges_ship():
    assert {A, B} <= set(shipped_names())


@pytest.mark.parametrize("name, data", [(A, "judge_a.jsonl"), (B, "judge_b.jsonl")])
def test_a_shipped_judge_was_fitted_on_the_data_that_ships(name, data):
    """Where this fails, the data was built anew: run scripts/demo_judges.py."""
    assert shipped(name).fitted_on == sentences_hash(*labelled(data))


@pytest.mark.parametrize("name, least", [(A, 0.70), (B, 0.75)])
def test_a_judge_agrees_with_held_out_labels(name, least, heldout):
    found = proportion([[value] for value in right(shipped(name), *heldout)])
    print(f"judges:{name}: {found.mean:.1%} of {found.prompts} held-out labels ({found.low:.1%} to {found.high:.1%})")
    assert found.mean >= least


@pytest.mark.parametrize("name", [A, B])
def test_praise_without_grammar_does_not_win(name, heldout):
    """A list of the judge's best words loses to a favourable sentence, spoilt sentences lose to whole ones."""
    judge, generator = shipped(name), random.Random(0)
    favourable = [text for text, label in zip(*heldout, strict=True) if label][:200]
    weight = judge.favour.weight if name == A else judge.favour.word.weight
    best = sorted((feature for feature in weight if " " not in feature), key=lambda f: -weight[f])[:60]
    whole = [judge.score(text) for text in favourable]
    for spoilt in (
        [" ".join(generator.sample(best, 15)) + "." for _ in favourable],
        [" ".join(generator.sample(words(text), len(words(text)))) for text in favourable],
        [f"{text} {text} {text}" for text in favourable],
        [text[: len(text) // 2] for text in favourable],
    ):
        lost = [good > judge.score(bad) for good, bad in zip(whole, spoilt, strict=True)]
        assert sum(lost) / len(lost) > 0.8


@pytest.mark.parametrize("name", [A, B])
def test_more_praise_moves_a_sure_score_no_further(name):
    """log P / (1 - P) of both cannot pass the smaller of the two log-odds."""
    judge = shipped(name)
    for text in ("a wonderful, moving film.", "wonderful moving beautiful powerful touching film", "dull.", ""):
        assert judge.score(text) <= min(judge.favourable(text), judge.well_formed.log_odds(text)) + 1e-9


def test_a_judge_prefers_what_it_is_asked_to():
    judge = shipped(B)
    prompts = ["the film is"] * 3
    liked, disliked, salad = judge(
        prompts, [" a warm and moving story.", " a dull and lifeless mess.", " warm moving warm story and and a the."]
    )
    assert liked > disliked
    assert liked > salad


def test_a_continuation_is_judged_with_its_prompt_and_a_reply_alone():
    assert sentence("the film is", " fine.") == "the film is fine."
    assert sentence((Message("user", "How was it?"),), "Fine.") == "Fine."


def test_fitting_again_gives_the_same_bytes(tmp_path):
    texts, labels = labelled("judge_a.jsonl")
    for name in ("one", "two"):
        save_judge(fit_judge("naive_bayes", texts[:300], labels[:300]), tmp_path / name)
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()


@pytest.mark.parametrize("kind", ["naive_bayes", "regression"])
def test_a_file_keeps_every_score(kind, tmp_path):
    texts, labels = labelled("judge_a.jsonl")
    judge = fit_judge(kind, texts[:200], labels[:200])
    save_judge(judge, tmp_path / "judge.json.gz")
    again = load_judge(tmp_path / "judge.json.gz")
    assert again([""] * 50, texts[:50]) == judge([""] * 50, texts[:50])


def test_a_judge_needs_examples_of_both_labels():
    with pytest.raises(ConfigError, match="20 sentences of each label"):
        fit_judge("naive_bayes", ["a film."] * 50, [True] * 50)


def test_an_unknown_judge_is_told_the_known_ones():
    with pytest.raises(ConfigError, match=f"judges:{A}, judges:{B}"):
        shipped("helpful")


@pytest.mark.parametrize(
    "packed",
    [
        b"",
        b"not gzip",
        gzip.compress(b"[]", mtime=0),
        gzip.compress(b"{", mtime=0),
        gzip.compress(b'{"slope": NaN, "offset": 0}', mtime=0),
    ],
)
def test_a_file_that_is_no_judge_is_named(packed, tmp_path):
    (tmp_path / "judge.json.gz").write_bytes(packed)
    with pytest.raises(DataError, match=r"judge\.json\.gz: "):
        load_judge(tmp_path / "judge.json.gz")


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(MissingInput, match="no such judge"):
        load_judge(tmp_path / "none")
