from pathlib import Path

import pytest
import yaml

from burnish.recipes.load import OWN
from burnish.recipes.stages import METHODS
from burnish.training.config import MethodConfig

PAGE = (Path(__file__).parents[2] / "docs/recipes.md").read_text(encoding="utf-8")
ROWS = [line for line in PAGE.splitlines() if line.startswith("| `")]


def test_the_page_names_every_shared_key():
    assert [key for key in (*OWN, *MethodConfig.model_fields) if not any(f"`{key}`" in row for row in ROWS)] == []


@pytest.mark.parametrize("name", [name for name in METHODS if name not in ("write", "answer", "judge")])
def test_the_page_names_every_input_of_a_method(name: str):
    row = next(row for row in ROWS if row.startswith(f"| `{name}` |"))
    assert [key for key in METHODS[name].inputs if f"`{key}`" not in row] == []


def test_the_page_has_a_recipe_of_known_methods():
    recipe = yaml.safe_load(PAGE.split("```yaml\n")[1].split("```")[0])
    assert {stage["method"] for stage in recipe["stages"].values()} <= METHODS.keys()
