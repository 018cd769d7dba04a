"""Stages in which people pick or compare, killed: what was shown as saved counts once, and nobody is asked again."""

import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest
from fault.people import PROMPTS, AtTerminal, Stage, comparing, decide, picking
from tiny import byte_tokenizer, tiny_llama

from burnish.feedback.page.shown import visible
from burnish.feedback.store import Store


@pytest.fixture(scope="module")
def model(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The model of the stage, beside one whose answers are others."""
    folder = tmp_path_factory.mktemp("people")
    shutil.copytree(tiny_model, folder / "model")
    tiny_llama(seed=1).save_pretrained(folder / "other")
    byte_tokenizer().save_pretrained(folder / "other")
    return folder / "model"


def last_first(count: int) -> list[list[str]]:
    """The last answer that is shown is the best one; of the others nothing is said."""
    letters = [chr(65 + place) for place in range(count)]
    return [letters[-1:], letters[:-1]]


def killed_and_run_again(
    stage: Stage, model: Path, out: Path, *, mode: str, drawn: Path, then: str | None = None
) -> list[dict[str, Any]]:
    """What was shown as saved. The stage is killed after two decisions, right after the last one, and once there is a
    file like `then`; `drawn` holds what was sampled."""
    running = AtTerminal(stage, model, out)
    visitor = running.visitor()
    saved = [decide(visitor, last_first, mode) for _ in range(2)]
    assert visitor.next() is not None  # open, and not decided
    running.kill()
    before = (drawn.read_bytes(), drawn.stat().st_mtime_ns)

    running = AtTerminal(stage, model, out)
    visitor = running.visitor()
    found = re.search(r": 2 of (\d+) ", running.told)
    assert found is not None, running.told
    saved += [decide(visitor, last_first, mode) for _ in range(2, int(found[1]))]
    running.kill()

    running = AtTerminal(stage, model, out)
    if then is not None:
        running.wait(lambda: any(out.glob(then)))
        running.kill()
        running = AtTerminal(stage, model, out)
    running.end()
    assert "loses nothing" not in running.told, "what is decided needs no page"
    assert len({one["prompt"] for one in saved}) == len(saved), "nobody is asked again"
    assert (drawn.read_bytes(), drawn.stat().st_mtime_ns) == before, "nothing is sampled again"
    return saved


def best_of(store: Path, sources: bool = False) -> dict[str, str]:
    """prompt → the answer (or who wrote it) that the store's only ranking of it has first."""
    best: dict[str, str] = {}
    with Store.open(store) as opened:
        items = {item.group.id: item.group for item in opened.items()}
        for ranking in opened.rankings():
            group = items[ranking.item]
            assert group.prompt not in best, "saved twice"
            answer = group.answers[ranking.place_K.index(0)]
            best[group.prompt] = answer.source if sources else visible(answer.text)
    return best


def test_picks_outlive_a_killed_rejection_sampling(model: Path, tmp_path: Path):
    folder = tmp_path / "rounds" / "1"
    saved = killed_and_run_again(
        picking,
        model,
        tmp_path,
        mode="pick",
        drawn=folder / "samples.jsonl",
        then="rounds/1/checkpoints/step-*",
    )
    best = {one["prompt"]: one["answers"][-1] for one in saved}
    assert len(best) == len(PROMPTS)
    assert best_of(folder / "rankings.db") == best
    kept = json.loads((folder / "kept.json").read_text())
    said = byte_tokenizer()
    learned = {row["prompt"]: said.decode(row["tokens"], skip_special_tokens=True) for row in kept["kept"]}
    assert {PROMPTS[place].prompt: visible(text) for place, text in learned.items()} == best
    (told,) = map(json.loads, (tmp_path / "metrics.jsonl").read_text().splitlines())
    assert told["picked"] == len(PROMPTS)
    assert (tmp_path / "model" / "model.safetensors").exists()


def test_verdicts_outlive_a_killed_evaluation(model: Path, tmp_path: Path):
    saved = killed_and_run_again(comparing, model, tmp_path, mode="pair", drawn=tmp_path / "measured.json")
    won = best_of(tmp_path / "rankings.db", sources=True)
    assert {*won} == {one["prompt"] for one in saved}
    verdict = json.loads((tmp_path / "verdict.json").read_text())["other"]
    ties = len(PROMPTS) - len(saved)  # equal texts, which nobody is asked about
    wins = sum(who == "other" for who in won.values())
    assert verdict["win_rate"] == pytest.approx((wins + ties / 2) / len(PROMPTS))
    assert verdict["verdicts"] == len(saved) > 2
