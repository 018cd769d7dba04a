"""docs/coming-from-trl-ppo.md against the keys that there are, here and in the TRL that is installed."""

import ast
import re
from fnmatch import fnmatch
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import yaml
from recipes.conftest import Workplace

from burnish.methods.grpo import GRPOConfig
from burnish.methods.online_dpo import OnlineDPOConfig
from burnish.methods.ppo import PPOConfig
from burnish.methods.reinforce import ReinforceConfig
from burnish.methods.rloo import RLOOConfig
from burnish.recipes.stages import METHODS
from burnish.training.config import examine, groups_in

PAGE = (Path(__file__).parents[2] / "docs/coming-from-trl-ppo.md").read_text(encoding="utf-8")
CONFIGS = (PPOConfig, GRPOConfig, RLOOConfig, ReinforceConfig, OnlineDPOConfig)
KEY = r"[a-z_]+(?:\.[a-z_]+)?"


def rows() -> list[list[str]]:
    """The cells of every table that has their key, ours and what differs."""
    tables = [table.split("\n\n")[0] for table in PAGE.split("| theirs (default) ")[1:]]
    return [[cell.strip() for cell in line.strip("|").split("|")] for table in tables for line in table.split("\n")[2:]]


def codes(cell: str) -> list[str]:
    return re.findall(r"`([^`]+)`", cell)


def known_keys() -> set[str]:
    keys = set(METHODS["ppo"].inputs)
    for config in CONFIGS:
        for name, field in config.model_fields.items():
            keys |= {name} | {f"{name}.{key}" for group in groups_in(field.annotation) for key in group.model_fields}
    return keys


def nested(setting: str) -> dict[str, Any]:
    ((path, value),) = yaml.safe_load(setting).items()
    for name in reversed(path.split(".")):
        value = {name: value}
    return value


def test_every_key_of_ours_that_the_page_names_exists():
    named = [code for row in rows() for code in codes(row[1]) if re.fullmatch(KEY, code)]
    assert len(named) > 60
    assert [key for key in named if key not in known_keys()] == []


def test_every_setting_of_ours_that_the_page_names_is_accepted_by_a_method():
    settings = {code for row in rows() for cell in row[1:] for code in codes(cell) if re.match(KEY + ": ", code)}
    refused = {s for s in settings if all(examine(config, nested(s))[0] is None for config in CONFIGS)}
    assert len(settings) > 10
    assert not refused


@pytest.mark.parametrize(
    "name",
    ["trainer/grpo_config.py", "trainer/rloo_config.py", "experimental/online_dpo/online_dpo_config.py"],
    ids=["grpo", "rloo", "online_dpo"],
)
def test_the_page_names_every_key_of_the_installed_trl(name: str):
    trl = find_spec("trl")
    assert trl is not None
    assert trl.origin is not None
    source = (Path(trl.origin).parent / name).read_text(encoding="utf-8")
    body = next(node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.ClassDef)).body
    theirs = [node.target.id for node in body if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name)]
    named = codes(" ".join(cell for row in rows() for cell in row))
    assert len(theirs) > 20
    assert [key for key in theirs if not any(fnmatch(key, name) for name in named)] == []


@pytest.mark.parametrize("number", [0, 1])
def test_a_recipe_of_the_page_loads(place: Workplace, number: int):
    recipe = PAGE.split("```yaml\n")[1 + number].split("```")[0]
    (place.path / "prompts.jsonl").write_text('{"prompt": "a"}\n')
    for folder in ("sft-model", "reward-model"):
        (place.path / folder).mkdir()
        (place.path / folder / "config.json").write_text("{}")
    assert len(place.load(recipe).stages) == 1


@pytest.mark.parametrize(
    ("theirs", "ours"),
    [
        ("missing_eos_penalty", "unfinished_penalty"),
        ("epsilon", "clip_ratio"),
        ("eps_clip", "clip_ratio"),
        ("lambd", "lam"),
        ("n_samples_per_prompt", "samples"),
        ("entropy_coef", "entropy_bonus"),
        ("sampling.response_length", "max_new_tokens"),
        ("sampling.max_completion_length", "max_new_tokens"),
        ("critic.cliprange_value", "clip_value"),
    ],
)
def test_a_key_of_theirs_is_refused_with_ours(theirs: str, ours: str):
    assert examine(PPOConfig, nested(f"{theirs}: 1"))[1] == [f"{theirs}: unknown key; here it is called {ours}"]
