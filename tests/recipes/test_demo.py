"""The demos' recipes, as they are and with a person in their judge's place."""

from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest

from burnish.cli.main import main
from burnish.evaluation.again import RECIPES
from burnish.recipes.demo import ranked_by_people
from burnish.recipes.load import Recipe, load

ASSETS = Path(str(files("burnish"))) / "assets"
DEMO = ASSETS / RECIPES["en"]


def changed(before: Recipe, after: Recipe) -> dict[str, Any]:
    """Each key of a stage's settings or inputs that differs, with what it is afterwards."""
    found: dict[str, Any] = {}
    for one, other in zip(before.stages, after.stages, strict=True):
        sides = [{**stage.inputs, **stage.config.model_dump()} for stage in (one, other)]
        found |= {f"{one.name}.{key}": sides[1][key] for key in sides[0] if sides[0][key] != sides[1][key]}
    return found


@pytest.mark.parametrize("language", RECIPES)
def test_with_people_only_the_ranking_and_what_fits_its_size_is_another(language):
    recipe = ASSETS / RECIPES[language]
    assert changed(load(recipe), load(recipe, ranked_by_people({}))) == {
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


@pytest.mark.parametrize("language", RECIPES)
def test_a_language_chooses_its_recipe(language, tmp_path, capsys):
    """What is set is looked for in the recipe that was chosen, which the error names."""
    assert main(["demo", "--language", language, "--set", "nobody.epochs=1", "--out", str(tmp_path / "run")]) != 0
    assert str(Path("assets") / RECIPES[language]) in capsys.readouterr().err


def test_both_demos_ask_other_judges_to_rank_and_to_decide():
    for path in RECIPES.values():
        by = {stage.name: stage.inputs.get("by") for stage in load(ASSETS / path).stages}
        assert None is not by["ranking"] != by["compare"] is not None
