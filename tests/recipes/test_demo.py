"""The demo's recipe, as it is and with a person in its judge's place."""

from importlib.resources import files
from pathlib import Path
from typing import Any

from burnish.recipes.demo import ranked_by_people
from burnish.recipes.load import Recipe, load

DEMO = Path(str(files("burnish"))) / "assets" / "demo" / "recipe.yaml"


def changed(before: Recipe, after: Recipe) -> dict[str, Any]:
    """Each key of a stage's settings or inputs that differs, with what it is afterwards."""
    found: dict[str, Any] = {}
    for one, other in zip(before.stages, after.stages, strict=True):
        sides = [{**stage.inputs, **stage.config.model_dump()} for stage in (one, other)]
        found |= {f"{one.name}.{key}": sides[1][key] for key in sides[0] if sides[0][key] != sides[1][key]}
    return found


def test_with_people_only_the_ranking_and_what_fits_its_size_is_another():
    assert changed(load(DEMO), load(DEMO, ranked_by_people({}))) == {
        "ranking.by": "people",
        "ranking.items": 12,
        "reward.batch_size": 4,
        "reward.epochs": 8,
        "dpo.batch_size": 4,
        "dpo.epochs": 8,
    }


def test_what_is_typed_goes_before():
    typed = load(DEMO, ranked_by_people({"ranking": {"items": 5}, "seed": 3}))
    assert changed(load(DEMO, {"seed": 3}), typed)["ranking.items"] == 5
