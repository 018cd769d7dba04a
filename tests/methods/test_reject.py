"""Rejection sampling on a tiny model. Rewards count letters, which a round or two make more frequent."""

import json
import shutil
import weakref
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from methods.written import lines
from safetensors.torch import load_file

from burnish.data.read import read
from burnish.errors import ConfigError, DataError
from burnish.methods.ensemble import member_folder, write_ensemble
from burnish.methods.reject import reject
from burnish.methods.reject_settings import RejectConfig
from burnish.methods.shared import sharing_in
from burnish.models import load
from burnish.models.load import load_policy
from burnish.models.model import Scorer
from burnish.rollout.local import LocalEngine
from burnish.rollout.settings import Sampling
from burnish.training.config import resolve
from burnish.training.identity import allowing, weights_hash
from burnish.types import Group, Prompt, Rollout

SHORT = Sampling(max_new_tokens=8)
PROMPTS = [Group(f"{i} is ", id=f"p{i}", origin=f"prompts:{i + 1}") for i in range(24)]
HELD = [Group(f"{i} was ", origin=f"held:{i + 1}") for i in range(6)]
BOTH = [
    {"by": lambda _, answers: [float(a.count("e")) for a in answers], "weight": 2, "name": "e"},
    {"by": lambda _, answers: [-len(a) for a in answers], "name": "short"},
]


def letters(_: Sequence[Prompt], answers: Sequence[str]) -> list[float]:
    return [float(sum(map(str.isalpha, answer))) for answer in answers]


def no_letters(_: Sequence[Prompt], answers: Sequence[str]) -> list[float]:
    return [-score for score in letters(_, answers)]


class Counting:
    """`letters`, which says how often it was asked, and dies where it is told to."""

    __name__ = "letters"

    def __init__(self, dies: int = 0) -> None:
        self.asked, self.dies = 0, dies

    def __call__(self, prompts: Sequence[Prompt], answers: Sequence[str]) -> list[float]:
        self.asked += 1
        if self.asked == self.dies:
            raise KeyboardInterrupt
        return letters(prompts, answers)


def config(**changes: Any) -> RejectConfig:
    return RejectConfig(**({"samples": 4, "learning_rate": 3e-3, "max_length": 64, "sampling": SHORT} | changes))


def rounds(out: Path, name: str = "kept.json") -> list[dict[str, Any]]:
    return [json.loads(file.read_text()) for file in sorted(out.glob(f"rounds/*/{name}"))]


def rows(out: Path, number: int, name: str = "samples.jsonl") -> list[dict[str, Any]]:
    return [json.loads(line) for line in (out / "rounds" / str(number) / name).read_text("utf-8").splitlines()]


@pytest.mark.parametrize("changes", [{}, {"learn": "dpo", "dpo": {"beta": 0.1}}], ids=["sft", "dpo"])
def test_it_raises_what_it_selects_for(tiny_model: Path, tmp_path: Path, changes: dict[str, Any]):
    settings = config(rounds=2, samples=8, epochs=4, learning_rate=1e-2, **changes)
    reject(tiny_model, PROMPTS, settings, by=letters, out=tmp_path)
    first, second = lines(tmp_path)
    assert first["score_kept"] > first["score_mean"]
    assert second["score_mean"] > 1.5 * first["score_mean"]


def test_by_several_tells_each_ones_mean(tiny_model: Path, tmp_path: Path):
    figures = reject(tiny_model, PROMPTS[:8], config(samples=2, unfinished_penalty=0), by=BOTH, out=tmp_path)
    assert figures["score_mean"] == pytest.approx(2 * figures["score_mean/e"] + figures["score_mean/short"])
    assert rows(tmp_path, 1)[0]["scores_by_part"].keys() == {"e", "short"}


def test_all_answers_and_scores_of_a_round_are_samples_that_every_stage_reads(tiny_model: Path, tmp_path: Path):
    figures = reject(tiny_model, PROMPTS[:8], config(unfinished_penalty=0.5), by=letters, out=tmp_path)
    groups = read(tmp_path / "rounds/1/samples.jsonl", kind="sample")
    assert [(group.id, group.prompt, len(group.answers)) for group in groups] == [
        (g.id, g.prompt, 4) for g in PROMPTS[:8]
    ]
    assert groups[0].extra["model"] == weights_hash(load_policy(tiny_model))
    answers = [answer for group in groups for answer in group.answers]
    assert [answer.score for answer in answers] == letters([], [answer.text for answer in answers])
    paid = [answer.score - 0.5 * (not answer.finished) for answer in answers]
    assert figures["score_mean"] == pytest.approx(sum(paid) / len(paid))


def test_a_round_loads_its_reward_model_once(
    tiny_model: Path, reward_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    loaded: list[str | Path] = []

    def load_scorer(model: str | Path, *given: Any) -> Scorer:
        loaded.append(model)
        return load.load_scorer(model, *given)

    monkeypatch.setattr("burnish.methods.inputs.load_scorer", load_scorer)
    reject(tiny_model, PROMPTS[:4], config(samples=2), by=reward_model, out=tmp_path)
    assert loaded == [reward_model]


def test_the_members_of_an_ensemble_are_never_in_memory_together(
    tiny_model: Path, reward_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    ensemble = tmp_path / "ensemble"
    for number in (1, 2, 3):
        shutil.copytree(reward_model, member_folder(ensemble, number))
    write_ensemble(ensemble, 3)
    loaded: list[weakref.ref[Scorer]] = []

    def load_scorer(model: str | Path, *given: Any) -> Scorer:
        assert [before for before in loaded if before() is not None] == []
        made = load.load_scorer(model, *given)
        loaded.append(weakref.ref(made))
        return made

    monkeypatch.setattr("burnish.methods.inputs.load_scorer", load_scorer)
    given: dict[str, Any] = {"by": ensemble, "out": tmp_path / "out"}
    figures = reject(tiny_model, PROMPTS[:4], config(samples=2, rounds=2), **given)
    assert len(loaded) == 3 + 2 * 3, "their names once, and each round's scores"
    assert reject(tiny_model, PROMPTS[:4], config(samples=2, rounds=2), **given) == figures
    assert len(loaded) == 3 + 2 * 3 + 3


def test_again_nothing_is_asked_or_learned(tiny_model: Path, tmp_path: Path):
    first = reject(tiny_model, PROMPTS[:8], config(samples=2, rounds=2), by=letters, out=tmp_path)
    again = Counting()
    assert reject(tiny_model, PROMPTS[:8], config(samples=2, rounds=2), by=again, out=tmp_path) == first
    assert again.asked == 0


def test_answers_outlive_a_judge_that_dies_and_scores_a_rule_that_changes(
    tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    with pytest.raises(KeyboardInterrupt):
        reject(tiny_model, PROMPTS[:8], config(), by=Counting(dies=1), out=tmp_path)
    drawn = (tmp_path / "rounds/1/samples.jsonl").read_bytes()
    monkeypatch.setattr("burnish.methods.reject.LocalEngine", None)  # nothing can be drawn
    with pytest.raises(DataError, match="none of 8 prompts has an answer above it, and the best one scores "):
        reject(tiny_model, PROMPTS[:8], config(threshold=9), by=(judge := Counting()), out=tmp_path)
    assert judge.asked == 1
    texts = [json.loads(line)["answers"] for line in drawn.splitlines()]
    assert [row["answers"] for row in rows(tmp_path, 1)] == texts
    figures = reject(tiny_model, PROMPTS[:8], config(keep=2), by=judge, out=tmp_path)
    assert (judge.asked, figures["kept"]) == (1, 16)
    with pytest.raises(
        ConfigError, match=r"samples.jsonl: was scored with something else:\n  reward: letters then, no_letters now"
    ):
        reject(tiny_model, PROMPTS[:8], config(keep=2), by=no_letters, out=tmp_path)
    with pytest.raises(ConfigError, match=r"was drawn with something else:\n  samples: 4 then, 3 now"):
        reject(tiny_model, PROMPTS[:8], config(samples=3), by=letters, out=tmp_path)


def test_stages_of_a_recipe_that_only_keep_and_learn_otherwise_draw_once(
    tiny_model: Path, reward_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    with sharing_in(tmp_path / "shared"):
        reject(tiny_model, PROMPTS[:8], config(), by=reward_model, out=tmp_path / "one")
        monkeypatch.setattr("burnish.methods.reject.LocalEngine", None)
        reject(tiny_model, PROMPTS[:8], config(), by=letters, out=tmp_path / "other")
        monkeypatch.setattr("burnish.methods.reject.scores_by", None)  # nobody can be asked
        changes = {"keep": 2, "learning_rate": 1e-4}
        reject(tiny_model, PROMPTS[:8], config(**changes), by=reward_model, out=tmp_path / "two")
    assert rows(tmp_path / "one", 1) == rows(tmp_path / "two", 1)
    other = rows(tmp_path / "other", 1)
    assert [row["answers"] for row in other] == [row["answers"] for row in rows(tmp_path / "one", 1)]
    assert [row["scores"] for row in other] == [letters([], row["answers"]) for row in other]


def test_no_stage_takes_scores_of_another_judge_that_has_the_same_name(tiny_model: Path, tmp_path: Path):
    with sharing_in(tmp_path / "shared"):
        for out, by in (("one", letters), ("other", no_letters)):
            reject(tiny_model, PROMPTS[:8], config(), by={"by": by, "name": "judge"}, out=tmp_path / out)
    one, other = ([row["scores"] for row in rows(tmp_path / out, 1)] for out in ("one", "other"))
    assert other == [[-score for score in scores] for scores in one]


def test_answers_that_were_touched_are_refused(tiny_model: Path, tmp_path: Path):
    reject(tiny_model, PROMPTS[:4], config(), by=letters, out=tmp_path)
    file = tmp_path / "rounds/1/samples.jsonl"
    changed = [json.loads(line) for line in file.read_text().splitlines()]
    changed[0]["tokens"][0] = [65, 256]
    file.write_text("".join(json.dumps(row) + "\n" for row in changed))
    with pytest.raises(DataError, match="has other answers than were drawn"):
        reject(tiny_model, PROMPTS[:4], config(), by=letters, out=tmp_path)


@pytest.mark.parametrize(("given", "changes"), [(PROMPTS[8:10], {}), (PROMPTS[:8], {"samples": 3})], ids=str)
def test_answers_of_other_prompts_or_another_count_are_drawn_again_where_the_change_is_allowed(
    tiny_model: Path, tmp_path: Path, given: list[Group], changes: dict[str, Any]
):
    with pytest.raises(KeyboardInterrupt):
        reject(tiny_model, PROMPTS[:8], config(), by=Counting(dies=1), out=tmp_path / "killed")
    with allowing(["prompts", "samples"]):
        reject(tiny_model, given, config(**changes), by=letters, out=tmp_path / "killed")
    reject(tiny_model, given, config(**changes), by=letters, out=tmp_path / "whole")
    assert rows(tmp_path / "killed", 1) == rows(tmp_path / "whole", 1)


def test_prompts_that_leave_nothing_to_choose_are_told(tiny_model: Path, tmp_path: Path):
    """Half of the prompts have no answer as long as the other half's longest."""

    def long(_: Sequence[Prompt], answers: Sequence[str]) -> list[float]:
        return [float(len(answer)) for answer in answers]

    plain: dict[str, Any] = {"unfinished_penalty": 0, "sampling": Sampling(max_new_tokens=8, top_k=200)}
    reject(tiny_model, PROMPTS, config(**plain), by=long, out=tmp_path / "free")
    best = {row["id"]: max(row["scores"]) for row in rows(tmp_path / "free", 1)}
    line = sorted(best.values())[len(best) // 2]
    none = [group.id for group in PROMPTS if best[group.id] <= line]
    assert 0 < len(none) < len(PROMPTS)
    figures = reject(tiny_model, PROMPTS, config(**plain, threshold=line), by=long, out=tmp_path / "line")
    flagged = [row for row in rows(tmp_path / "line", 1, "flagged.jsonl") if "below" in row["flags"]]
    assert [row["id"] for row in flagged] == none
    assert [row["score_best"] for row in flagged] == [best[name] for name in none]
    assert not any(row["learned"] for row in flagged)
    assert figures["below"] == len(none)
    learned = {PROMPTS[row["prompt"]].id for row in rounds(tmp_path / "line")[0]["kept"]}
    assert learned == {group.id for group in PROMPTS} - {*none}


def test_a_round_draws_as_many_as_it_says_and_as_warmly(tiny_model: Path, tmp_path: Path):
    changes = {"rounds": 2, "samples": [3, 2], "temperatures": [1.0, 1e-4], "learning_rate": 1e-9}
    figures = reject(tiny_model, PROMPTS[:6], config(**changes), by=letters, out=tmp_path)
    assert [{len(row["answers"]) for row in rows(tmp_path, number)} for number in (1, 2)] == [{3}, {2}]
    assert figures["alike"] == 6, "at next to no temperature all answers are the likeliest one"


def trained(model: Path, out: Path, **changes: Any) -> dict[str, torch.Tensor]:
    reject(model, PROMPTS[:8], config(**changes), by=letters, out=out)
    return load_file(out / "model/model.safetensors")


def test_a_round_starts_from_the_round_before_or_from_the_model_that_came_in(tiny_model: Path, tmp_path: Path):
    """So little is learned in round 1 that round 2 keeps the same answers: then only the start differs."""
    tiny = {"rounds": 2, "learning_rate": 1e-6, "schedule": "constant"}
    weights = {start: trained(tiny_model, tmp_path / start, start=start, **tiny) for start in ("previous", "incoming")}
    came, once = load_file(tiny_model / "model.safetensors"), trained(tiny_model, tmp_path / "once", learning_rate=1e-6)
    name = "model.layers.0.mlp.up_proj.weight"
    moved = {start: (w[name] - came[name]).norm() for start, w in weights.items()}
    assert moved["previous"] > 1.3 * moved["incoming"]
    assert moved["incoming"] == pytest.approx((once[name] - came[name]).norm().item(), rel=0.3)


def test_what_earlier_rounds_kept_is_learned_again_where_it_accumulates(tiny_model: Path, tmp_path: Path):
    changes = {"rounds": 2, "batch_size": 4, "start": "incoming"}
    for name, accumulate in (("both", True), ("own", False)):
        trained(tiny_model, tmp_path / name, accumulate=accumulate, **changes)
    steps = {name: [len(lines(tmp_path / name / "rounds" / n)) for n in ("1", "2")] for name in ("both", "own")}
    assert steps == {"both": [2, 4], "own": [2, 2]}


def test_pairs_start_at_the_model_that_they_are_held_to(tiny_model: Path, tmp_path: Path):
    """Each round's reference is what its learning starts from: the first step's loss is log 2 in every round."""
    for start in ("previous", "incoming"):
        changes = {"rounds": 2, "learn": "dpo", "start": start, "accumulate": start == "incoming", "batch_size": 24}
        out = tmp_path / start
        reject(tiny_model, PROMPTS, config(**changes, dpo={"beta": 0.5}), by=letters, out=out)
        for number in ("1", "2"):
            assert lines(out / "rounds" / number)[0]["loss"] == pytest.approx(0.6931, abs=1e-4)
        for found in rounds(out):
            scores = [row["score"] for row in found["kept"]]
            assert all(better > worse for better, worse in zip(scores[::2], scores[1::2], strict=True))


class Dying(LocalEngine):
    """An engine that dies in its second call."""

    calls = 0

    def sample(self, *given: Any, **named: Any) -> list[Rollout]:
        Dying.calls += 1
        if Dying.calls == 2:
            raise KeyboardInterrupt
        return super().sample(*given, **named)


@pytest.mark.parametrize(("changes", "first_kept"), [({}, True), ({"samples": 3}, False)], ids=["same", "other count"])
def test_a_round_goes_on_behind_its_last_whole_chunk_unless_its_answers_are_to_be_others(
    tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, changes: dict[str, Any], first_kept: bool
):
    with monkeypatch.context() as dying:
        dying.setattr("burnish.methods.reject.LocalEngine", Dying)
        dying.setattr(Dying, "calls", 0)
        with pytest.raises(KeyboardInterrupt):
            reject(tiny_model, PROMPTS[:6], config(chunk=4), by=letters, out=tmp_path / "cut")
    left = (tmp_path / "cut/rounds/1/samples.part.jsonl").read_bytes()
    assert left.count(b"\n") == 4
    with allowing(["samples"]):
        reject(tiny_model, PROMPTS[:6], config(chunk=4, **changes), by=letters, out=tmp_path / "cut")
    reject(tiny_model, PROMPTS[:6], config(chunk=4, **changes), by=letters, out=tmp_path / "whole")
    cut, whole = rows(tmp_path / "cut", 1), rows(tmp_path / "whole", 1)
    assert cut == whole
    texts = [json.loads(line)["answers"] for line in left.splitlines()]
    assert ([row["answers"] for row in cut[:4]] == texts) == first_kept
    assert not list((tmp_path / "cut/rounds/1").glob("samples.part*"))


@pytest.mark.parametrize("chunk", [1, 2, 8])
def test_chunks_of_another_size_lose_no_prompt_and_draw_none_twice(
    tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, chunk: int
):
    with monkeypatch.context() as dying:
        dying.setattr("burnish.methods.reject.LocalEngine", Dying)
        dying.setattr(Dying, "calls", 0)
        with pytest.raises(KeyboardInterrupt):
            reject(tiny_model, PROMPTS[:12], config(chunk=4), by=letters, out=tmp_path / "cut")
    with allowing(["chunk"]):
        reject(tiny_model, PROMPTS[:12], config(chunk=chunk), by=letters, out=tmp_path / "cut")
    reject(tiny_model, PROMPTS[:12], config(chunk=4), by=letters, out=tmp_path / "whole")
    cut, whole = rows(tmp_path / "cut", 1), rows(tmp_path / "whole", 1)
    assert [(row["id"], row["tokens"]) for row in cut] == [(row["id"], row["tokens"]) for row in whole]


def test_with_an_adapter_a_round_goes_on_with_it(tiny_model: Path, tmp_path: Path):
    changes = {"rounds": 2, "lora": {"rank": 4}, "learn": "dpo", "dpo": {"beta": 0.5}, "learning_rate": 1e-2}
    figures = reject(
        tiny_model, PROMPTS[:8], config(**changes), by=letters, out=tmp_path, evaluate_on=HELD, judge=no_letters
    )
    first, after, last = lines(tmp_path)
    assert (first["heldout_kl"], first["step"], last["step"]) == (0, 0, 2)
    assert last["heldout_kl"] > 0
    assert lines(tmp_path / "rounds/2")[0]["loss"] == pytest.approx(0.6931, abs=1e-4)
    assert figures["heldout_kl"] == last["heldout_kl"] != after["heldout_kl"]


def test_held_out_prompts_are_answered_before_the_first_round_and_after_each(tiny_model: Path, tmp_path: Path):
    changes = {"rounds": 2, "epochs": 2, "unfinished_penalty": 0, "evaluate_prompts": 5}
    given = {"by": letters, "evaluate_on": HELD, "judge": no_letters}
    figures = reject(tiny_model, PROMPTS, config(**changes), out=tmp_path / "a", **given)
    told = lines(tmp_path / "a")
    assert [line["step"] for line in told] == [0, 1, 2]
    assert [line["heldout_prompts"] for line in told] == [5, 5, 5]
    assert [line["heldout_judge"] for line in told] == [-line["heldout_reward"] for line in told]
    assert (told[0]["heldout_kl"], told[0]["heldout_kl_se"]) == (0, 0)
    assert told[2]["heldout_kl"] > told[1]["heldout_kl"] > 0
    assert told[1]["score_kept"] > told[1]["score_mean"]
    assert figures.items() >= {k: v for k, v in told[2].items() if k != "step"}.items()
    steps = [json.loads(line)["step"] for line in (tmp_path / "a/samples.jsonl").read_text().splitlines()]
    assert steps == [number for number in (0, 1, 2) for _ in range(5)]
    again = reject(tmp_path / "a/model", PROMPTS, config(**changes), out=tmp_path / "b", **given)
    assert lines(tmp_path / "b")[0]["heldout_reward"] == told[2]["heldout_reward"], "the model that was written"
    assert again["heldout_kl"] > 0


def test_a_damaged_evaluation_is_named(tiny_model: Path, tmp_path: Path):
    given: dict[str, Any] = {"by": letters, "evaluate_on": HELD[:2], "judge": no_letters}
    reject(tiny_model, PROMPTS[:4], config(), out=tmp_path, **given)
    file = tmp_path / "rounds/0/heldout.safetensors"
    file.write_bytes(file.read_bytes()[:-8])
    with pytest.raises(DataError, match=r"rounds/0/heldout.safetensors: is damaged .* remove it and heldout.json"):
        reject(tiny_model, PROMPTS[:4], config(), out=tmp_path, **given)


def test_measuring_changes_no_weight(tiny_model: Path, tmp_path: Path):
    reject(tiny_model, PROMPTS[:8], config(), by=letters, out=tmp_path / "with", evaluate_on=HELD)
    one, other = load_file(tmp_path / "with/model/model.safetensors"), trained(tiny_model, tmp_path / "without")
    assert all(torch.equal(one[name], other[name]) for name in other)


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"samples": 2, "keep": 2}, "keep: 2 of 2 samples would keep every answer"),
        ({"samples": 2, "keep": 3, "threshold": 0}, "keep: 3 of 2 samples"),
        ({"samples": [4, 2], "rounds": 3}, "samples: 2 values for rounds: 3; give one for each round"),
        ({"temperatures": [1]}, None),
        ({"temperatures": [1], "sampling": {"temperature": 0.5}}, "both set; keep one"),
        ({"sampling": {"stop": ["\n"]}}, "sampling.stop: an answer that a string ended has no end to learn"),
        ({"learn": "dpo", "keep": 2}, "learn: dpo takes the best answer and the worst"),
        ({"dpo": {"beta": 0.3}}, "learn is sft; set learn: dpo"),
        ({"learn": "dpo", "dpo": {"margin": "record"}}, "dpo.margin: record: sampled answers have none"),
        ({"learn": "dpo", "dpo": {"reference_every": 2}, "lora": {"rank": 2}}, "leave one out"),
        ({"learn": "dpo", "dpo": {"smoothing": 0.1, "loss": "ipo"}}, "loss: ipo does not read it"),
        ({"samples": [4, 1], "rounds": 2}, "samples"),
    ],
)
def test_settings_that_cannot_work_together_name_the_key(changes: dict[str, Any], told: str | None):
    if told is None:
        resolve(RejectConfig, changes)
        return
    with pytest.raises(ConfigError, match=told):
        resolve(RejectConfig, changes)


def test_dpo_brings_its_own_rate():
    assert resolve(RejectConfig, {"learn": "dpo"}).learning_rate == 1e-6
    assert resolve(RejectConfig, {}).learning_rate == 2e-5


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"by": letters, "judge": letters}, "judge: it scores held-out answers, and there are none"),
        ({"by": "people", "evaluate_on": HELD}, "evaluate_on: people pick the best of several answers"),
    ],
)
def test_inputs_that_cannot_work_together_are_refused_before_anything_is_loaded(given: dict[str, Any], told: str):
    with pytest.raises(ConfigError, match=told):
        reject("no/such/model", PROMPTS, config(), out=Path("nowhere"), **given)


def test_a_judge_of_the_same_kind_is_a_warning(tiny_model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    given: dict[str, Any] = {"by": letters, "judge": letters, "evaluate_on": HELD[:2]}
    reject(tiny_model, PROMPTS[:2], config(samples=2), out=tmp_path, **given)
    told = capsys.readouterr().err
    assert "warning: judge: it is the one that gives the reward" in told
    assert "reject: round 1 of 1: score_mean " in told
