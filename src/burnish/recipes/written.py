"""YAML as a person wrote it: plain values, and the line of every key for messages.

Stricter than YAML: a key given twice is an error and not the last one's, no tag makes a Python object, an alias cannot
grow a small file into a large one, and a document is one mapping of text keys. Everything wrong is told at once.
"""

from collections.abc import Hashable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from burnish.data.problems import described, listed, nearest, printable
from burnish.errors import ConfigError, MissingInput
from burnish.training.config import KeyPath, plainly

MOST_BYTES = 1_000_000
MOST_VALUES = 10_000
DEEPEST = 40
PLAIN = {"null", "bool", "int", "float", "str", "map", "seq", "merge"}


@dataclass(frozen=True)
class Written:
    """What a file says, and where. `lines` has the line of each key's path; `typed` has the option of those that the
    command line gave."""

    file: str
    values: dict[str, Any]
    lines: Mapping[KeyPath, int]
    typed: Mapping[KeyPath, str] = field(default_factory=dict)

    def where(self, path: KeyPath) -> str:
        """`recipe.yaml:12: sft.learning_rate`, or `--set sft.learning_rate`."""
        shown = printable(plainly(path[1:] if path[:1] == ("stages",) else path))
        for end in range(len(path), 0, -1):
            if path[:end] in self.typed:
                return ".".join([self.typed[path[:end]], *map(str, path[end:])])
            if path[:end] in self.lines:
                return f"{self.file}:{self.lines[path[:end]]}: {shown}"
        return f"{self.file}: {shown}" if self.file and shown else self.file or shown

    def source(self, path: KeyPath) -> str:
        """`recipe.yaml:12`, or `--set`: where a value came from, without its name."""
        for end in range(len(path), 0, -1):
            if path[:end] in self.typed:
                return self.typed[path[:end]].split(" ")[0]
            if path[:end] in self.lines:
                return f"{self.file}:{self.lines[path[:end]]}"
        return self.file

    def is_typed(self, path: KeyPath) -> bool:
        return any(path[:end] in self.typed for end in range(1, len(path) + 1))

    def with_settings(self, settings: Mapping[str, Any]) -> "Written":
        """The same with `settings` laid over it, group by group."""
        values, given = _laid_over(self.values, settings, ())
        names = {path: f"--set {plainly(path[1:] if path[0] == 'stages' else path)}" for path in given}
        return Written(self.file, values, self.lines, {**self.typed, **names})


def read_yaml(path: Path) -> Written:
    """Raises MissingInput where there is no such file, ConfigError naming each line that is wrong."""
    if not path.is_file():
        raise MissingInput(_no_such_recipe(path))
    if (size := path.stat().st_size) > MOST_BYTES:
        raise ConfigError(f"{path}: {size} bytes are no recipe; at most {MOST_BYTES} are read")
    raw = path.read_bytes()
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw[: error.start].count(b"\n") + 1
        raise ConfigError(f"{path}:{line}: not UTF-8 (byte {raw[error.start]:#04x}); save the file as UTF-8") from None
    return parse(text, str(path))


def parse(text: str, file: str) -> Written:
    try:
        _bound_depth(text, file)
        loader = yaml.CSafeLoader(text)
        try:
            root = loader.get_single_node()
        finally:
            loader.dispose()
    except yaml.YAMLError as error:
        raise ConfigError(_not_yaml(error, text, file)) from None
    if root is None:
        raise ConfigError(f"{file}: empty; a recipe has `name:`, `model:` and `stages:`")
    if not isinstance(root, yaml.MappingNode):
        raise ConfigError(f"{file}:1: expected keys with values (`name: …`), found no key")
    walk = _Walk(file)
    values = walk.value(root, ())
    if walk.troubles:
        raise ConfigError("\n".join(walk.troubles))
    return Written(file, values, walk.lines)


class _Walk:
    """Node → plain value, with lines and troubles collected on the way."""

    def __init__(self, file: str) -> None:
        self.file = file
        self.lines: dict[KeyPath, int] = {}
        self.troubles: list[str] = []
        self.seen = 0
        self.scalars = yaml.CSafeLoader("")

    def value(self, node: yaml.Node, path: KeyPath) -> Any:
        self.seen += 1
        if self.seen > MOST_VALUES or len(path) > DEEPEST:
            raise ConfigError(
                f"{self._at(node)}: more than {MOST_VALUES} values or {DEEPEST} levels once its aliases (`*name`) are "
                "written out; write out what is meant, without aliases"
            )
        self.lines.setdefault(path, node.start_mark.line + 1)
        tag = node.tag.removeprefix("tag:yaml.org,2002:")
        if tag == "timestamp" or (tag == "int" and ":" in node.value):
            return node.value  # YAML 1.1 makes a date of 2024-01-01 and the number 90 of 1:30; here both are text
        if tag not in PLAIN:
            self.troubles.append(f"{self._at(node)}: the tag {printable(node.tag)} is not allowed; write a plain value")
            return None
        if isinstance(node, yaml.MappingNode):
            return self._mapping(node, path)
        if isinstance(node, yaml.SequenceNode):
            return [self.value(child, (*path, i)) for i, child in enumerate(node.value)]
        return self._scalar(node)

    def _scalar(self, node: yaml.Node) -> Any:
        """A tag that is written out may not fit what it stands before, and a number may be too long to be one."""
        try:
            return self.scalars.construct_object(node)
        except (yaml.YAMLError, ValueError, KeyError):
            tag = node.tag.removeprefix("tag:yaml.org,2002:")
            self.troubles.append(f"{self._at(node)}: {printable(str(node.value), 40)} is no {tag}; write a plain value")
            return None

    def _mapping(self, node: yaml.MappingNode, path: KeyPath) -> dict[str, Any]:
        own: dict[str, Any] = {}
        lent: dict[str, Any] = {}
        for key_node, child in node.value:
            if key_node.tag == "tag:yaml.org,2002:merge":
                lent = self._merged(child, path) | lent
                continue
            key = self._key(key_node)
            if key is None:
                continue
            if key in own:
                first = self.lines[(*path, key)]
                shown = plainly((*path, key))
                self.troubles.append(f"{self._at(key_node)}: {shown}: given twice, first in line {first}; keep one")
                continue
            self.lines[(*path, key)] = key_node.start_mark.line + 1
            own[key] = self.value(child, (*path, key))
        return lent | own

    def _merged(self, node: yaml.Node, path: KeyPath) -> dict[str, Any]:
        parts = node.value if isinstance(node, yaml.SequenceNode) else [node]
        merged: dict[str, Any] = {}
        for part in parts:
            value = self.value(part, path)
            if not isinstance(value, dict):
                self.troubles.append(f"{self._at(node)}: `<<` takes a mapping, such as `<<: *name`")
                return {}
            merged = value | merged
        return merged

    def _key(self, node: yaml.Node) -> str | None:
        key: Hashable = None
        if isinstance(node, yaml.ScalarNode):
            key = self._scalar(node) if node.tag.startswith("tag:yaml.org,2002:") else None
        if isinstance(key, str) and key:
            return key
        found = f"{described(key)} (written {printable(str(node.value), 40)})"
        self.troubles.append(f"{self._at(node)}: a key must be text; found {found}; put it in quotes")
        return None

    def _at(self, node: yaml.Node) -> str:
        return f"{self.file}:{node.start_mark.line + 1}"


def _bound_depth(text: str, file: str) -> None:
    """Events come one by one, where composing nodes goes as deep into the stack as the file is nested."""
    depth = 0
    for event in yaml.parse(text, Loader=yaml.CSafeLoader):
        if isinstance(event, yaml.MappingStartEvent | yaml.SequenceStartEvent):
            depth += 1
        elif isinstance(event, yaml.MappingEndEvent | yaml.SequenceEndEvent):
            depth -= 1
        if depth > DEEPEST:
            raise ConfigError(f"{file}: nested more than {DEEPEST} levels deep; no recipe needs that")


def _not_yaml(error: yaml.YAMLError, text: str, file: str) -> str:
    mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
    if mark is None:
        return f"{file}: not YAML: {printable(str(error).splitlines()[0])}"
    lines = text.splitlines()
    line = lines[mark.line] if mark.line < len(lines) else ""
    if "\t" in line[: len(line) - len(line.lstrip())]:
        return f"{file}:{mark.line + 1}: a tab indents this line; YAML takes spaces only"
    problem = getattr(error, "problem", None) or str(error).splitlines()[0]
    what = f"{file}:{mark.line + 1}:{mark.column + 1}: not YAML: {printable(problem)}"
    return f"{what}\n  {printable(line, 100)}" if line.strip() else what


def _no_such_recipe(path: Path) -> str:
    folder = path.parent if path.parent.is_dir() else Path()
    there = sorted(p.name for p in folder.glob("*.y*ml"))
    near = nearest(path.name, there) or (f"; in {folder} there is {listed(there)}" if there else "")
    what = "a folder, not a recipe" if path.is_dir() else "no such recipe"
    return f"{printable(str(path))}: {what} (looked from {Path.cwd()}){near}"


def _laid_over(under: Any, over: Mapping[str, Any], at: KeyPath) -> tuple[dict[str, Any], list[KeyPath]]:
    merged = dict(under) if isinstance(under, Mapping) else {}
    given: list[KeyPath] = []
    for key, value in over.items():
        path = (*at, key)
        if isinstance(value, Mapping) and value:
            merged[key], inner = _laid_over(merged.get(key), value, path)
            given += inner
        else:
            merged[key] = value
            given.append(path)
    return merged, given
