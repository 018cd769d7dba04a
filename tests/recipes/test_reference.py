"""What a reference says of rows is asked once a run, whatever stages have in common with it."""

import json
from pathlib import Path
from shutil import rmtree
from typing import Any

import pytest
from recipes.conftest import Workplace
from safetensors.torch import load_file

from burnish.errors import DataError
from burnish.models.model import Policy
from burnish.recipes.run import run


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many trees each pass over given rows had, but for the check of a single one."""
    sizes: list[int] = []
    honest = Policy.frozen_logprobs

    def counted(policy: Policy, trees: Any, *given: Any, **named: Any) -> Any:
        if len(trees) > 1:
            sizes.append(len(trees))
        return honest(policy, trees, *given, **named)

    monkeypatch.setattr(Policy, "frozen_logprobs", counted)
    return sizes


def recipe(tiny_model: Path, stages: dict[str, Any]) -> str:
    shape = {"method": "dpo", "model": str(tiny_model), "data": "pairs.jsonl", "steps": 1, "max_length": 64}
    made = {name: {**shape, **stage} for name, stage in stages.items()}
    return json.dumps({"name": "t", "roots": [str(tiny_model.parent)], "stages": made})


@pytest.fixture
def pairs(place: Workplace) -> Workplace:
    rows = [{"prompt": f"{i} + 1 =", "chosen": f" {i + 1}", "rejected": " no"} for i in range(5)]
    (place.path / "pairs.jsonl").write_text("\n".join(map(json.dumps, rows)))
    return place


def quiet(_: str) -> None: ...


def test_a_sweep_over_beta_asks_once(pairs: Workplace, tiny_model: Path, asked: list[int]):
    run(pairs.load(recipe(tiny_model, {"dpo": {"each": {"beta": [0.1, 0.3]}}})), pairs.out, tell=quiet)
    assert asked == [5]
    (file,) = (pairs.out / ".cache/reference").iterdir()
    assert len(load_file(file)["values"]) == 10
    assert not list(pairs.out.glob("dpo*/**/reference*.safetensors"))


def test_other_rows_or_tokens_in_place_of_answers_are_asked_anew(pairs: Workplace, tiny_model: Path, asked: list[int]):
    lines = (pairs.path / "pairs.jsonl").read_text().splitlines()
    (pairs.path / "fewer.jsonl").write_text("\n".join(lines[:4]))
    stages = {"one": {}, "fewer": {"data": "fewer.jsonl"}, "tokens": {"length_tail": 0.5}, "again": {"loss": "ipo"}}
    run(pairs.load(recipe(tiny_model, stages)), pairs.out, tell=quiet)
    assert asked == [5, 4, 5]
    assert len(list((pairs.out / ".cache/reference").iterdir())) == 3


def test_a_damaged_file_is_named(pairs: Workplace, tiny_model: Path):
    run(pairs.load(recipe(tiny_model, {"one": {}})), pairs.out, tell=quiet)
    (file,) = (pairs.out / ".cache/reference").iterdir()
    file.write_bytes(file.read_bytes()[:-8])
    rmtree(pairs.out / "one")
    with pytest.raises(DataError, match=f"{file.name}: is damaged .* remove it"):
        run(pairs.load(recipe(tiny_model, {"one": {}})), pairs.out, tell=quiet)


def test_losses_do_not_depend_on_who_asked(pairs: Workplace, tiny_model: Path):
    run(pairs.load(recipe(tiny_model, {"first": {}, "second": {}})), pairs.out, tell=quiet)
    first, second = ((pairs.out / name / "metrics.jsonl").read_text().splitlines() for name in ("first", "second"))
    clock = {"seconds", "tokens_per_second", "peak_gb"}
    told = [{k: v for k, v in json.loads(lines[0]).items() if k not in clock} for lines in (first, second)]
    assert told[0] == told[1]
