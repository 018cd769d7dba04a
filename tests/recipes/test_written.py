from pathlib import Path

import pytest

from burnish.errors import ConfigError, MissingInput
from burnish.recipes.written import parse, read_yaml


def told(text: str) -> str:
    with pytest.raises(ConfigError) as error:
        parse(text, "recipe.yaml")
    return str(error.value)


def test_every_key_knows_its_line():
    written = parse("name: a\nstages:\n  sft:\n    method: sft\n", "recipe.yaml")
    assert written.values == {"name": "a", "stages": {"sft": {"method": "sft"}}}
    assert written.where(("stages", "sft", "method")) == "recipe.yaml:4: sft.method"
    assert written.where(("stages", "sft", "absent")) == "recipe.yaml:3: sft.absent"


def test_a_setting_lies_over_what_is_written_and_is_told_as_typed():
    written = parse("stages:\n  sft: {epochs: 1, lora: {rank: 4}}\n", "recipe.yaml")
    laid = written.with_settings({"stages": {"sft": {"epochs": 2, "lora": {"alpha": 8}}}})
    assert laid.values["stages"]["sft"] == {"epochs": 2, "lora": {"rank": 4, "alpha": 8}}
    assert laid.where(("stages", "sft", "epochs")) == "--set sft.epochs"
    assert laid.where(("stages", "sft", "lora", "rank")) == "recipe.yaml:2: sft.lora.rank"


def test_keys_given_twice_are_all_told():
    assert told("a: 1\na: 2\nb:\n  c: 1\n  c: 2\n").splitlines() == [
        "recipe.yaml:2: a: given twice, first in line 1; keep one",
        "recipe.yaml:5: b.c: given twice, first in line 4; keep one",
    ]


def test_a_tab_is_named():
    assert told("a:\n\tb: 1\n") == "recipe.yaml:2: a tab indents this line; YAML takes spaces only"


def test_what_is_not_yaml_is_shown_with_its_place():
    assert told("a: 1\nb: [1, 2\nc: 3\n").startswith("recipe.yaml:3:2: not YAML:")


@pytest.mark.parametrize("tag", ["!!python/object/apply:os.system [ls]", "!mine 1", "!!binary aGk=", "!!set {a, b}"])
def test_a_tag_makes_no_object(tag: str):
    assert "recipe.yaml:1: the tag " in told(f"a: {tag}\n")


def test_aliases_cannot_grow_a_small_file():
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]" for i in range(1, 9)]
    assert "aliases" in told("\n".join(lines))


def test_a_list_that_holds_itself_ends():
    assert "levels" in told("a: &a [*a]\n")


def test_a_merge_is_taken_below_what_stands_beside_it():
    written = parse("a: &a {x: 1, y: 2}\nb: {<<: *a, y: 3}\n", "recipe.yaml")
    assert written.values["b"] == {"x": 1, "y": 3}


def test_deep_nesting_is_told_and_does_not_exhaust_the_stack():
    assert "nested more than" in told("a: " + "[" * 50 + "]" * 50)
    assert "nest" in told("a: " + "[" * 100_000)  # by the parser itself or, where an older one has no limit, by us


@pytest.mark.parametrize("key", ["no", "1", "null", "[1]"])
def test_a_key_that_is_no_text_is_told(key: str):
    assert "a key must be text" in told(f"{key}: 1\n")


def test_dates_and_times_stay_text():
    assert parse("a: 2024-01-01\nb: 1:30\n", "r").values == {"a": "2024-01-01", "b": "1:30"}


@pytest.mark.parametrize(
    ("text", "why"),
    [("", "empty"), ("# nothing\n", "empty"), ("[1]\n", "expected keys"), ("a: 1\n---\nb: 2\n", "not YAML")],
)
def test_a_file_that_is_no_mapping_is_told(text: str, why: str):
    assert why in told(text)


def test_bytes_that_are_no_text_are_told_with_their_line(tmp_path: Path):
    file = tmp_path / "recipe.yaml"
    file.write_bytes(b"a: 1\nb: \xe9\n")
    with pytest.raises(ConfigError, match=r"recipe\.yaml:2: not UTF-8 \(byte 0xe9\)"):
        read_yaml(file)


def test_a_recipe_that_is_not_there_has_a_near_one(tmp_path: Path):
    (tmp_path / "harmless.yaml").write_text("name: a\n")
    with pytest.raises(MissingInput, match=r"no such recipe .*did you mean harmless\.yaml\?"):
        read_yaml(tmp_path / "harmles.yaml")
