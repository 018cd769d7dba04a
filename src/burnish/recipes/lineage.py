"""Where a model came from, read back from the folders of the stages that made it: `inputs.json` and `DONE.json`.

A stage's inputs name other stages of its run, so the chain is followed without the recipe.
"""

import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePath
from typing import Any

import yaml

from burnish.errors import ConfigError, DataError
from burnish.evaluation import again
from burnish.evaluation.report.run import VERDICT, judges
from burnish.recipes.artefacts import Hashes, damage, described_inputs
from burnish.recipes.folder import read_json
from burnish.recipes.stages import METHODS
from burnish.training.config import as_typed, flat, flat_defaults

_MOST_FRONT_MATTER = 20_000  # characters in which a card's front matter has to end


@dataclass(frozen=True, slots=True)
class Input:
    """What a stage was given under `key`: `stage`, a file or folder by `name`, or a hub `name` with its `revision`."""

    key: str
    name: str
    stage: bool = False
    hub: bool = False
    sha256: str = ""
    revision: str = ""
    lines: int | None = None
    path: str = ""


@dataclass(frozen=True, slots=True)
class Step:
    """A finished stage. `settings`: those that are not its method's default, dots opening groups. `allowed`: settings
    and names of inputs that were changed with --allow-changed after it began."""

    name: str
    method: str
    inputs: tuple[Input, ...]
    settings: Mapping[str, Any]
    figures: Mapping[str, Any]
    versions: Mapping[str, str]
    allowed: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a stage that evaluates found: a mapping of figures a model, the first the one to beat."""

    stage: str
    judge: str
    models: Mapping[str, Mapping[str, Any]]


@dataclass(frozen=True, slots=True)
class RunFacts:
    """A run as its lock.json has it. `recipe`: the file's text; `typed`: what was set on the command line."""

    name: str
    recipe: str
    recipe_path: str
    typed: Mapping[str, Any]
    threads: int | None


@dataclass(frozen=True, slots=True)
class Lineage:
    """The stages behind a model, sources first, the model's own last. `base`: what the first started from; `licence`:
    that of the base, as its own card names it.

    `run` is None for the stage of a single command. All is empty for a model that burnish did not train.
    """

    steps: tuple[Step, ...] = ()
    base: Input | None = None
    verdicts: tuple[Verdict, ...] = ()
    run: RunFacts | None = None
    licence: str = ""

    @property
    def stage(self) -> Step | None:
        return self.steps[-1] if self.steps else None


def lineage(stage: Path | None) -> Lineage:
    """What is known of the model that the stage in this folder made. Raises DataError where its files are damaged."""
    if stage is None:
        return Lineage()
    stage = stage.resolve()
    own = _name(stage)
    first = _step(stage, own)
    if first is None:
        return Lineage()
    run = stage.parents[len(PurePath(own).parts) - 1]
    facts = _run_facts(run)
    found: dict[str, Step] = {}
    _collect(first, run if facts else None, found)
    verdicts = tuple(_verdicts(run, own)) if facts else ()
    base = _base(first, found)
    return Lineage(tuple(found.values()), base, verdicts, facts, base_licence(base))


def _name(stage: Path) -> str:
    """What the run calls the stage: its folder's name, or two of them for one that `each` made."""
    name = (read_json(stage / "inputs.json") or {}).get("stage")
    parts = PurePath(name).parts if isinstance(name, str) else ()
    return "/".join(parts) if parts and stage.parts[-len(parts) :] == parts else stage.name


def _run_facts(run: Path) -> RunFacts | None:
    lock = read_json(run / "lock.json")
    if lock is None:
        return None
    file, typed, threads = run / "recipe.yaml", lock.get("set"), lock.get("threads")
    return RunFacts(
        name=str(lock.get("name") or run.name),
        recipe=file.read_text(encoding="utf-8", errors="replace") if file.is_file() else "",
        recipe_path=str(lock.get("recipe") or ""),
        typed=typed if isinstance(typed, dict) else {},
        threads=threads if isinstance(threads, int) else None,
    )


def _step(folder: Path, name: str) -> Step | None:
    begun, done = read_json(folder / "inputs.json"), read_json(folder / "DONE.json")
    if begun is None or done is None:
        return None
    method = str(begun.get("method"))
    inputs = begun.get("inputs")
    settings = begun.get("settings")
    figures, allowed = done.get("figures"), begun.get("allowed")
    return Step(
        name=name,
        method=method,
        inputs=tuple(_inputs(inputs if isinstance(inputs, dict) else {})),
        settings=changed_settings(method, settings if isinstance(settings, dict) else {}),
        figures=figures if isinstance(figures, dict) else {},
        versions={str(k): str(v) for k, v in (begun.get("versions") or {}).items()},
        allowed=dict(_allowed(allowed, inputs)) if isinstance(allowed, dict) and isinstance(inputs, dict) else {},
    )


def _allowed(allowed: Mapping[str, Any], inputs: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    for key, value in allowed.items():
        described = key in inputs or isinstance(value, Mapping)
        yield key, ", ".join(one.name for one in _inputs(value, key)) if described else value


def _inputs(value: Any, key: str = "") -> Iterator[Input]:
    """Every stage, file, hub model and judge among a stage's described inputs."""
    if isinstance(value, Mapping):
        if isinstance(value.get("stage"), str):
            yield Input(key, value["stage"], stage=True, sha256=str(value.get("sha256") or ""))
        elif isinstance(value.get("path"), str):
            lines = value.get("lines")
            yield Input(
                key,
                PurePath(value["path"]).name or value["path"],
                sha256=str(value.get("sha256") or ""),
                lines=lines if isinstance(lines, int) else None,
                path=value["path"],
            )
        elif isinstance(value.get("hub"), str):
            yield Input(key, value["hub"], hub=True, revision=str(value.get("revision") or ""))
        elif isinstance(value.get("name"), str) and isinstance(value.get("sha256"), str):
            yield Input(key, value["name"], sha256=value["sha256"])
        elif key == "by" and (value.get("by") or value.get("judge")):
            yield from _inputs(value.get("by") or value["judge"], key)
            if isinstance(value.get("rubric"), Mapping):  # a file, and not the text itself
                yield from _inputs(value["rubric"], "rubric")
        else:
            for name, inner in value.items():
                yield from _inputs(inner, key or str(name))
    elif isinstance(value, list | tuple):
        for inner in value:
            yield from _inputs(inner, key)
    elif isinstance(value, str) and value:
        yield Input(key, value if "://" in value else PurePath(value).name or value)


def changed_settings(method: str, settings: Mapping[str, Any]) -> dict[str, Any]:
    """Settings that differ from the method's defaults, groups taken apart."""
    if method not in METHODS:
        return flat(settings)
    default = flat_defaults(METHODS[method].config_class())
    return {key: value for key, value in flat(settings).items() if key not in default or default[key] != value}


def _collect(step: Step, run: Path | None, found: dict[str, Step]) -> None:
    """Put the stages that `step` was made from, and then itself, into `found`."""
    for source in step.inputs:
        if source.stage and run is not None and source.name not in found:
            parent = _step(run / source.name, source.name)
            if parent is not None and parent.name != step.name:
                _collect(parent, run, found)
    found[step.name] = step


def _base(step: Step, found: Mapping[str, Step]) -> Input | None:
    """The model that the chain of models began with."""
    for _ in found:
        model = next((one for one in step.inputs if one.key == "model"), None)
        if model is None or not model.stage:
            return model
        if model.name not in found:
            return None
        step = found[model.name]
    return None


def _verdicts(run: Path, model: str) -> Iterator[Verdict]:
    """What the run's finished evaluations say of this model."""
    for file in sorted([*run.glob("*/DONE.json"), *run.glob("*/*/DONE.json")]):
        name = file.parent.relative_to(run).as_posix()
        step = _step(file.parent, name)
        if step is None or step.method != "evaluate":
            continue
        models = {
            str(key): value
            for key, value in step.figures.items()
            if isinstance(value, Mapping) and value.keys() & VERDICT
        }
        if model in models:
            begun = (read_json(file.parent / "inputs.json") or {}).get("inputs") or {}
            yield Verdict(name, ", ".join(judges(begun.get("by"))), models)


def command(known: Lineage) -> str:
    """What to type to make the model again: the recipe's run, or the stage's own command. Folders are left out."""
    stage = known.stage
    if stage is None:
        return ""
    if known.run is not None:
        return again.command(known.run.recipe_path, known.run.typed, f"runs/{known.run.name}", folders=False)
    typed = ["burnish", stage.method]
    for one in stage.inputs:
        typed += [f"--{one.key.replace('_', '-')}", one.name]
    return shlex.join([*typed, *as_typed(stage.settings), "--out", stage.name])


def base_licence(base: Input | None) -> str:
    """The licence that the base's own card names, empty where there is none to be read.

    A relative path starts somewhere that nobody knows any more: what lies there from here has to be what it was.
    """
    if base is None or not base.path:
        return ""
    folder = Path(base.path)
    try:
        if not folder.is_absolute() and _path_hash(folder) != base.sha256:
            return ""
        text = (folder / "README.md").read_text(encoding="utf-8")[:_MOST_FRONT_MATTER]
    except (OSError, UnicodeDecodeError):
        return ""
    return str(front_matter(text).get("license") or "")


def _path_hash(folder: Path) -> str:
    described = described_inputs({"model": folder}, Path(), Hashes(), Path()) if folder.exists() else {}
    return str(described["model"]["sha256"]) if described else ""


def front_matter(text: str) -> dict[str, Any]:
    """The YAML between the two lines of dashes that a card begins with; empty where that is no mapping."""
    if not text.startswith("---\n") or "\n---" not in text[4:]:
        return {}
    try:
        value = yaml.safe_load(text[4:].split("\n---", 1)[0])
    except yaml.YAMLError:
        return {}
    return value if isinstance(value, dict) else {}


def require_finished(stage: Path) -> None:
    """Raise ConfigError for a stage that is not done, DataError for one whose result was changed since."""
    done = read_json(stage / "DONE.json")
    if done is None:
        raise ConfigError(f"{stage}: this stage is not done (no DONE.json); run it to its end first")
    if troubles := damage(stage, done.get("outputs") or {}):
        raise DataError("\n".join(troubles) + "\nWhat it made is no longer what it was; make it again")
