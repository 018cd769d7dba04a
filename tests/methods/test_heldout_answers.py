"""Held-out prompts while a policy learns: figures of the model as it would be written, and a judge that nothing climbs.

Rewards count vowels; a tiny policy learns in a few steps to write more of them.
"""

import json
import math
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from methods.conftest import PROMPTS, short_ppo
from methods.written import lines
from safetensors.torch import load_file

from burnish.data.read import read
from burnish.data.templates import resolve
from burnish.errors import ConfigError
from burnish.methods.grpo import GRPOConfig, grpo
from burnish.methods.heldout_answers import HeldoutAnswers
from burnish.methods.on_policy_settings import OnPolicyConfig
from burnish.methods.ppo import PPOConfig, ppo
from burnish.methods.reinforce import ReinforceConfig, reinforce
from burnish.methods.rewarding import Rewards
from burnish.methods.rloo import RLOOConfig, rloo
from burnish.models.load import load_policy
from burnish.rewards.by import Part
from burnish.rewards.rubric import Criteria, RubricJudge
from burnish.rollout.settings import Sampling
from burnish.types import Group, Prompt

NOWHERE = Path("no/such/model")
FENCED = re.compile(r"answer [AB] begins\n(.*?)\n=== \w+ answer [AB] ends", re.DOTALL)
HELD = [Group(f"{i} - {i} = ", origin=f"held:{i + 1}") for i in range(12)]
SHORT = {"max_length": 32, "learning_rate": 1e-2, "sampling": Sampling(max_new_tokens=6), "unfinished_penalty": 0}
METHODS: dict[str, tuple[Callable[..., dict[str, float]], type[OnPolicyConfig]]] = {
    "ppo": (ppo, PPOConfig),
    "grpo": (grpo, GRPOConfig),
    "rloo": (rloo, RLOOConfig),
    "reinforce": (reinforce, ReinforceConfig),
}


def vowels(_: list[Prompt], answers: list[str]) -> list[float]:
    return [float(sum(letter in "aeiou" for letter in answer)) for answer in answers]


def no_vowels(prompts: list[Prompt], answers: list[str]) -> list[float]:
    return [-score for score in vowels(prompts, answers)]


def climbing(**changes: Any) -> RLOOConfig:
    return RLOOConfig(**(SHORT | {"steps": 6, "batch_size": 8, "beta": 0, "evaluate_every": 2} | changes))


def evaluations(out: Path) -> list[dict[str, float]]:
    return [line for line in lines(out) if "heldout_reward" in line]


@pytest.mark.parametrize("name", METHODS)
def test_before_the_first_step_on_the_way_and_at_the_end(name: str, tiny_model: Path, reward_model: Path, tmp_path):
    method, kind = METHODS[name]
    config = kind(**SHORT, steps=3, batch_size=2, evaluate_every=2, evaluate_prompts=5)
    figures = method(tiny_model, PROMPTS, config, by=reward_model, out=tmp_path, evaluate_on=HELD, judge=vowels)
    told = evaluations(tmp_path)
    assert [line["step"] for line in told] == [0, 2, 3]
    assert [line["heldout_prompts"] for line in told] == [5, 5, 5]
    assert told[0]["heldout_kl"] == told[0]["heldout_kl_se"] == 0
    assert told[-1]["heldout_kl"] > told[-1]["heldout_kl_se"] > 0
    assert figures["heldout_judge"] == told[-1]["heldout_judge"] >= 0


def test_the_kl_is_that_of_all_words_at_every_state_of_the_answers(tiny_model: Path, other_model: Path, tmp_path: Path):
    """By transformers' own forward, an answer at a time."""
    policy, other = load_policy(tiny_model), load_policy(other_model)
    template = resolve(policy.tokenizer, "auto")
    rewards = Rewards(vowels, policy, template, climbing())
    held = HeldoutAnswers(policy, other, rewards, None, HELD, climbing(), out=tmp_path)
    figures = held(0)
    drawn = held.answers()
    kls = []
    with torch.no_grad(), policy.stock() as ours, other.stock() as theirs:
        for prompt, own in zip(held.rows, drawn, strict=True):
            row_T = torch.tensor([[*prompt.prompt, *own.tokens]])
            states = slice(len(prompt.prompt) - 1, -1)
            p, q = (m(row_T).logits[0, states].double().log_softmax(-1) for m in (ours, theirs))
            kls.append((p.exp() * (p - q)).sum().item())
    assert figures["heldout_kl"] == pytest.approx(sum(kls) / 12, rel=1e-5)
    assert figures["heldout_kl_se"] == pytest.approx(torch.tensor(kls).std().item() / 12**0.5, rel=1e-4)
    assert figures["heldout_length"] == sum(len(own.tokens) for own in drawn) / 12


def test_an_adapter_that_is_switched_off_is_the_reference(tiny_model: Path, tmp_path: Path):
    config = climbing(steps=2, lora={"rank": 4})
    rloo(tiny_model, PROMPTS, config, by=vowels, out=tmp_path, evaluate_on=HELD)
    before, after = evaluations(tmp_path)
    assert before["heldout_kl"] == 0
    assert after["heldout_kl"] > 0.01


def test_the_last_figures_are_those_of_the_model_that_is_written(tiny_model: Path, tmp_path: Path):
    """Averaged weights included: the same model, come in anew, gives the same answers."""
    config = climbing(steps=3, average=0.5)
    figures = rloo(tiny_model, PROMPTS, config, by=vowels, out=tmp_path / "a", evaluate_on=HELD)
    rloo(tmp_path / "a" / "model", PROMPTS, climbing(steps=1), by=vowels, out=tmp_path / "b", evaluate_on=HELD)
    again = evaluations(tmp_path / "b")[0]
    for name in ("heldout_reward", "heldout_length", "heldout_ended"):
        assert again[name] == figures[name]


def test_measuring_changes_no_weight(tiny_model: Path, tmp_path: Path):
    for name, given in (("without", {}), ("with", {"evaluate_on": HELD, "judge": no_vowels})):
        config = climbing(steps=3, average=0.5, dropout=0.1, evaluate_every=1 if given else 0)
        rloo(tiny_model, PROMPTS, config, by=vowels, out=tmp_path / name, **given)
    one, other = (load_file(tmp_path / run / "model/model.safetensors") for run in ("with", "without"))
    assert all(torch.equal(one[key], other[key]) for key in one)


def test_a_judge_that_falls_while_the_reward_rises_is_told(
    tiny_model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    rloo(tiny_model, PROMPTS, climbing(), by=vowels, out=tmp_path, evaluate_on=HELD, judge=no_vowels)
    told = evaluations(tmp_path)
    assert [line["heldout_judge"] for line in told] == [-line["heldout_reward"] for line in told]
    assert told[0]["heldout_parted"] == 0  # beside nothing
    assert told[-1]["heldout_parted"] == 1
    assert "warning: step 6: over-optimised: since step" in capsys.readouterr().err


def test_a_judge_that_rises_with_the_reward_is_no_warning(
    tiny_model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    def alike(prompts: list[Prompt], answers: list[str]) -> list[float]:
        return [2 * score for score in vowels(prompts, answers)]

    rloo(tiny_model, PROMPTS, climbing(), by=vowels, out=tmp_path, evaluate_on=HELD, judge=alike)
    told = evaluations(tmp_path)
    assert told[-1]["heldout_judge"] > told[0]["heldout_judge"]
    assert [line["heldout_parted"] for line in told] == [0, 0, 0, 0]
    assert "over-optimised" not in capsys.readouterr().err


def test_the_first_ten_answers_of_every_evaluation_can_be_read(tiny_model: Path, tmp_path: Path):
    config = climbing(steps=2, unfinished_penalty=0.5)
    rloo(tiny_model, PROMPTS, config, by=vowels, out=tmp_path, evaluate_on=HELD, judge=no_vowels)
    rows = [json.loads(line) for line in (tmp_path / "samples.jsonl").read_text(encoding="utf-8").splitlines()]
    assert [(row["step"], row["prompt"]) for row in rows] == [(s, g.prompt) for s in (0, 2) for g in HELD[:10]]
    for row in rows:
        (count,) = vowels([], row["answers"])
        assert (row["judge"], row["scores"]) == (-count, [count - 0.5 * (not row["finished"][0])])
    assert [group.extra["step"] for group in read([tmp_path / "samples.jsonl"], kind="sample")] == [0] * 10 + [2] * 10


def test_what_is_written_is_the_best_evaluation_s_model(tiny_model: Path, tmp_path: Path):
    """The judge's score falls with every vowel, so its best lies early and the reward's late. Come in anew, the model
    that was written gives the answers that were best."""
    for rule, judge in (("heldout_reward", None), ("heldout_judge", no_vowels)):
        config = climbing(steps=3, average=0.5, evaluate_every=1, best=rule)
        out = tmp_path / rule
        figures = rloo(tiny_model, PROMPTS, config, by=vowels, out=out, evaluate_on=HELD, judge=judge)
        told = evaluations(out)
        values = [line[rule] for line in told]
        assert figures["best_step"] == told[values.index(max(values))]["step"]  # the first of equals
        assert figures[f"best_{rule}"] == max(values)
        again = tmp_path / f"{rule}-again"
        rloo(out / "model", PROMPTS, climbing(steps=1), by=vowels, out=again, evaluate_on=HELD, judge=judge)
        assert evaluations(again)[0][rule] == max(values)


def test_the_model_that_came_in_may_be_the_best(tiny_model: Path, tmp_path: Path):
    """Every step makes it worse in the eyes of a judge that wants the first answers back."""
    first: list[str] = []

    def as_before(_: list[Prompt], answers: list[str]) -> list[float]:
        first.extend(answers if not first else [])
        return [float(answer == before) for answer, before in zip(answers, first, strict=True)]

    config = climbing(steps=2, best="heldout_judge")
    figures = rloo(tiny_model, PROMPTS, config, by=vowels, out=tmp_path, evaluate_on=HELD, judge=as_before)
    assert (figures["best_step"], figures["best_heldout_judge"]) == (0, 1)
    start, written = (load_file(f / "model.safetensors") for f in (tiny_model, tmp_path / "model"))
    assert all(torch.equal(start[key], written[key]) for key in start)


@pytest.mark.parametrize(("best", "given"), [("heldout_reward", {}), ("heldout_judge", {"evaluate_on": HELD})])
def test_best_needs_something_that_says_so(best: str, given: dict[str, Any], tmp_path: Path):
    config = climbing(evaluate_every=0, best=best)
    with pytest.raises(ConfigError, match=f"best: {best}: nothing says what is best; name evaluate_on: FILE"):
        rloo(NOWHERE, PROMPTS, config, by=vowels, out=tmp_path, **given)


def test_who_gives_the_reward_is_no_judge_of_it(
    tiny_model: Path, reward_model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    ppo(tiny_model, PROMPTS, short_ppo(), by=reward_model, out=tmp_path, evaluate_on=HELD[:2], judge=reward_model)
    assert "the one that gives the reward, so the two cannot part" in capsys.readouterr().err


def test_several_judges_are_told_one_by_one(tiny_model: Path, tmp_path: Path):
    both = [{"by": vowels, "name": "vowels", "weight": 2}, {"by": no_vowels, "name": "none"}]
    config = climbing(steps=1)
    figures = rloo(tiny_model, PROMPTS, config, by=both, out=tmp_path, evaluate_on=HELD, judge=both)
    assert figures["heldout_reward/vowels"] == -figures["heldout_reward/none"] == figures["heldout_judge/vowels"]
    assert figures["heldout_judge"] == pytest.approx(figures["heldout_judge/vowels"])


def test_what_cannot_be_measured_is_refused_before_a_model_is_loaded(tmp_path: Path):
    with pytest.raises(ConfigError, match="evaluate_every: 2, and there is nothing to evaluate on"):
        rloo(NOWHERE, PROMPTS, climbing(), by=vowels, out=tmp_path)
    with pytest.raises(ConfigError, match="judge: it scores held-out answers, and there are none"):
        rloo(NOWHERE, PROMPTS, climbing(evaluate_every=0), by=vowels, out=tmp_path, judge=no_vowels)


def more_vowels(questions: Sequence[str], replies: Sequence[str], about: Sequence[str]) -> list[list[float] | None]:
    """Asked about two answers, it names the one with more vowels; where they have as many, whichever stands first."""
    said: list[list[float] | None] = []
    for question in questions:
        one, other = (len(re.findall("[aeiou]", text)) for text in FENCED.findall(question))
        said.append([0.0, -math.inf] if one >= other else [-math.inf, 0.0])
    return said


def test_a_judge_of_pairs_compares_each_answer_with_that_of_step_0(
    tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """It likes what is climbed, so its win rate is that of the answers that score above those of step 0."""
    asked: list[int] = []

    def counted(questions: Sequence[str], *given: Any) -> list[list[float] | None]:
        asked.append(len(questions))
        return more_vowels(questions, *given)

    judge = [Part("vowels", judge=RubricJudge(counted, Criteria("More vowels.")))]
    config = climbing(best="heldout_judge", evaluate_prompts=10)
    figures = rloo(tiny_model, PROMPTS, config, by=vowels, out=tmp_path, evaluate_on=HELD, judge=judge)
    told = evaluations(tmp_path)
    rows = [json.loads(line) for line in (tmp_path / "samples.jsonl").read_text(encoding="utf-8").splitlines()]
    first = [row["scores"][0] for row in rows if row["step"] == 0]
    for line in told:
        now = [row["scores"][0] for row in rows if row["step"] == line["step"]]
        won = [0.5 * (1 + (new > old) - (new < old)) for new, old in zip(now, first, strict=True)]
        assert [row["judge"] for row in rows if row["step"] == line["step"]] == won
        assert line["heldout_judge"] == pytest.approx(sum(won) / 10)
    assert told[0]["heldout_judge"] == 0.5
    assert told[-1]["heldout_judge"] > 0.7
    assert asked[0] == 0, "an answer is not compared with itself"
    assert all(count % 2 == 0 for count in asked), "in both orders"
    assert figures["best_heldout_judge"] == max(line["heldout_judge"] for line in told)


def test_a_judge_of_pairs_gives_no_reward_to_a_single_held_out_answer(tiny_model: Path, tmp_path: Path):
    pairs = [Part("vowels", judge=RubricJudge(more_vowels, Criteria("More vowels.")))]
    with pytest.raises(ConfigError, match=r"by: .*compares answers with each other, and a held-out prompt gets one"):
        rloo(tiny_model, PROMPTS, climbing(), by=pairs, out=tmp_path, evaluate_on=HELD)
