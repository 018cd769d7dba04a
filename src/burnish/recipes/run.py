"""Run a recipe: what is not done, in order, each stage in a folder of its own. A second call does nothing."""

import shutil
import signal
import sys
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from burnish import processes
from burnish.data.durable import sync_folder
from burnish.data.problems import nearest
from burnish.data.secrets import masked
from burnish.errors import BurnishError, ConfigError, NotOurs
from burnish.evaluation.gate import RequirementError, conditions, hold, required
from burnish.evaluation.sentence import as_lines
from burnish.methods.shared import sharing_in
from burnish.recipes import machine
from burnish.recipes.artefacts import Hashes, fetch, outputs_of
from burnish.recipes.folder import (
    Changes,
    Standing,
    allow,
    allowed_before,
    begin,
    done_figures,
    facts,
    finish,
    held,
    moment,
    ours,
    read_json,
    refusal,
    remove_checkpoints,
    standing,
    write_json,
)
from burnish.recipes.follow import follow
from burnish.recipes.graph import Stage
from burnish.recipes.load import Recipe
from burnish.recipes.partial import warnings
from burnish.recipes.stages import METHODS
from burnish.training.checkpoint import write_durably
from burnish.training.identity import allowing
from burnish.training.machine import changes_told, machine_changes, warning
from burnish.training.machine import machine as this_machine
from burnish.training.signals import outlived
from burnish.training.watchdog import ending_hangs

CLOCK = ("seconds", "tokens_per_second", "peak_gb")
"""Figures of the last step that differ from run to run: they are in metrics.jsonl, and no result."""
Tell = Callable[[str], None]


def on_stderr(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def run(
    recipe: Recipe,
    out: Path | None = None,
    *,
    allow_changed: Collection[str] = (),
    force: bool = False,
    tell: Tell = on_stderr,
) -> dict[str, Any]:
    """Run every stage that is not done and return summary.json: each stage's final figures.

    `allow_changed`: fields such as `sft.learning_rate` that may differ from what a stage was started with.
    `force`: start although the estimate of memory or disk is above what there is.

    Raises ConfigError for other differences and for what this machine cannot do, NotOurs for a folder that is not this
    recipe's run, RequirementError where a verdict is not what its stage requires, and whatever a stage raises.

    Of several processes the first one does this, the others compute with it and return nothing.
    """
    folder = run_folder(recipe, out)
    _known_fields(recipe, allow_changed)
    with processes.joined():
        if processes.rank():
            follow(recipe.stages, folder)
            return {}
        with processes.leading():
            return _run(recipe, folder, allow_changed, force, tell)


def _run(recipe: Recipe, folder: Path, allow_changed: Collection[str], force: bool, tell: Tell) -> dict[str, Any]:
    ours(folder, "lock.json")
    with held(folder), outlived(signal.SIGUSR1), ExitStack() as within:
        history = _history(recipe, folder, tell)
        within.enter_context(changes_told([change for one in history for change in one["changed"]]))
        hashes = Hashes.of(folder)
        found = standings(recipe, folder, hashes)
        _refuse(found, folder, allow_changed)
        machine.refuse([s for s, where in found.values() if where.does != "reuse"], recipe, folder, force=force)
        _claim(recipe, folder, history)
        for name, told in warnings(recipe).items():
            for line in told:
                tell(f"warning: {name}: {line}")
        summary: dict[str, Any] = {}
        for stage in recipe.stages:
            here = folder / stage.name
            summary[stage.name] = _perform(stage, folder, here, hashes, allow_changed, tell)
            write_json(folder / "summary.json", summary)
        _report(folder, tell)
        verdicts = {stage.name: summary[stage.name] for stage in recipe.stages if "models" in stage.inputs}
        for name, figures in verdicts.items():
            for line in as_lines(figures):
                tell(f"{name}: {line}")
        _hold(recipe, verdicts)
        return summary


def _hold(recipe: Recipe, verdicts: Mapping[str, Any]) -> None:
    """Raise RequirementError where a verdict is not what its stage requires, once everything is written."""
    lines = []
    for name, figures in verdicts.items():
        try:
            hold(conditions(required(recipe.stage(name).config)), figures)
        except RequirementError as error:
            lines += [f"{name}: {line}" for line in str(error).splitlines()]
    if lines:
        raise RequirementError("\n".join(lines))


def _report(folder: Path, tell: Tell) -> None:
    """The report of a finished run. Its failure costs no run its results: it is told, and nothing more."""
    from burnish.evaluation.report.write import write_report

    try:
        tell(f"report: {write_report(folder)}")
    except Exception as error:  # whatever it is
        tell(f"report failed: {type(error).__name__}: {error}; once it is mended: burnish report {folder}")


def run_stage(
    stage: Stage, out: Path, *, allow_changed: Collection[str] = (), tell: Tell = on_stderr
) -> dict[str, Any]:
    """The same for the one stage of a single command, in `out`."""
    if processes.rank() and not METHODS[stage.method].shared:
        return {}
    with ExitStack() as within:
        if METHODS[stage.method].shared:
            within.enter_context(processes.joined())
            if processes.rank():
                follow([stage], out)
                return {}
            within.enter_context(processes.leading())
        ours(out, "inputs.json")
        within.enter_context(held(out))
        within.enter_context(outlived(signal.SIGUSR1))
        return _perform(stage, out, out, Hashes.of(out), allow_changed, tell)


def run_folder(recipe: Recipe, out: Path | None = None) -> Path:
    return out if out is not None else Path("runs") / recipe.name


def standings(recipe: Recipe, folder: Path, hashes: Hashes) -> dict[str, tuple[Stage, Standing]]:
    """What a run would do with each stage, by its name. What a stage takes from an unfinished one is not known yet."""
    found: dict[str, tuple[Stage, Standing]] = {}
    for stage in recipe.stages:
        awaited = [parent for parent in stage.parents if not (folder / parent / "DONE.json").exists()]
        if awaited:
            found[stage.name] = stage, Standing("wait", f"waits for {', '.join(awaited)}", {})
            continue
        here = folder / stage.name
        found[stage.name] = stage, standing(stage, here, facts(stage, folder, hashes))
    return found


def _refuse(found: Mapping[str, tuple[Stage, Standing]], folder: Path, allow_changed: Collection[str]) -> None:
    """Tell every change that nobody allowed, before anything is run."""
    refusals = [
        str(refusal(stage, folder / name, left))
        for name, (stage, where) in found.items()
        if (left := _not_allowed(stage, where.changes, allow_changed))
    ]
    if refusals:
        raise ConfigError("\n".join(refusals))


def _not_allowed(stage: Stage, changes: Changes, allow_changed: Collection[str]) -> Changes:
    return {key: pair for key, pair in changes.items() if not _names(stage, key) & set(allow_changed)}


def _perform(
    stage: Stage, run: Path, folder: Path, hashes: Hashes, allow_changed: Collection[str], tell: Tell
) -> dict[str, Any]:
    now = facts(stage, run, hashes)
    found = standing(stage, folder, now)
    if found.does == "refuse":
        if left := _not_allowed(stage, found.changes, allow_changed):
            raise refusal(stage, folder, left)
        allow(folder, found.changes)
        tell(f"{stage.name}: {', '.join(found.changes)} changed, as allowed; recorded in {folder / 'inputs.json'}")
        found = standing(stage, folder, now)
    keeps = getattr(stage.config, "keep_checkpoints", False)
    if found.does == "reuse":
        if not keeps:
            remove_checkpoints(folder)  # where the call that made it ended before it could
        tell(f"{stage.name}: {found.why}")
        return done_figures(folder)
    tell(f"{stage.name}: {stage.method}, {found.why}")
    if found.does == "run":
        fetch(METHODS[stage.method].naming_models(stage.inputs))
        begin(folder, facts(stage, run, hashes))
    began = time.monotonic()
    try:
        given = stage.placed(run)
        with ExitStack() as within:
            within.enter_context(allowing(allowed_before(folder)))
            within.enter_context(ending_hangs())
            if run != folder:  # a single command keeps what its reference says, and its samples, beside its result
                within.enter_context(sharing_in(run / ".cache"))
            if METHODS[stage.method].shared:
                within.enter_context(processes.leading_in(stage.name))
            figures = METHODS[stage.method].load()(**given, config=stage.config, out=folder)
    except BurnishError as error:
        error.add_note(f"in stage {stage.name}, {folder}")
        raise
    seconds = time.monotonic() - began
    figures = {name: value for name, value in figures.items() if name not in CLOCK}
    finish(folder, figures, outputs_of(folder, hashes), seconds)
    if not keeps:
        remove_checkpoints(folder)
    tell(f"{stage.name}: done in {seconds:.1f} s")
    return done_figures(folder)


def _names(stage: Stage, key: str) -> set[str]:
    """What a user may call a field: alone, or with the stage's name, made by `each` or as written."""
    return {key, f"{stage.name}.{key}", f"{stage.name.split('/')[0]}.{key}"}


def _known_fields(recipe: Recipe, allow_changed: Collection[str]) -> None:
    """A field that no stage has would silently allow nothing."""
    known: set[str] = set()
    for stage in recipe.stages:
        groups = _keys(stage.config.model_dump(mode="json")) | METHODS[stage.method].inputs.keys()
        known |= {name for key in groups for name in _names(stage, key)}
    for field in allow_changed:
        if field not in known:
            raise ConfigError(f"--allow-changed {field}: no stage has this field{nearest(field, known)}")


def _keys(settings: Mapping[str, Any], at: str = "") -> set[str]:
    found: set[str] = set()
    for key, value in settings.items():
        found |= {f"{at}{key}"} | (_keys(value, f"{at}{key}.") if isinstance(value, Mapping) else set())
    return found


def _history(recipe: Recipe, folder: Path, tell: Tell) -> list[dict[str, Any]]:
    """What changed of the machine since the run began, this call included; it is told, for a resume is less exact."""
    lock = read_json(folder / "lock.json")
    if lock is None:
        return []
    if lock.get("name") != recipe.name:
        raise NotOurs(f"{folder}: is a run of {lock.get('name')}, not of {recipe.name}; choose another --out")
    changes = machine_changes(lock, this_machine())
    for change in changes:
        tell(warning(change))
    return list(lock["history"]) + ([{"at": moment(), "changed": changes}] if changes else [])


def _claim(recipe: Recipe, folder: Path, history: Sequence[Mapping[str, Any]]) -> None:
    """Write what is run here: the recipe as written, and with every setting resolved."""
    stages = {
        stage.name: {
            "method": stage.method,
            "inputs": _readable(stage.inputs),
            "settings": stage.config.model_dump(mode="json"),
            "given": dict(stage.given),
        }
        for stage in recipe.stages
    }
    lock = {
        "name": recipe.name,
        "recipe": str(recipe.file.resolve()) if recipe.file else None,
        "set": dict(recipe.settings),
        "typed_in": str(recipe.typed_in.resolve()),
        "language": recipe.language,
        **this_machine(),
        "stages": stages,
        "history": list(history),
    }
    write_json(folder / "lock.json", lock)  # first: by it a later call knows the folder for burnish's
    if recipe.file is not None:
        text = recipe.file.read_text(encoding="utf-8-sig")
        write_durably(folder / "recipe.yaml", masked(text))


def _readable(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _readable(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_readable(inner) for inner in value]
    return value if isinstance(value, int | float | bool | None) else str(value)


def run_to_file(
    stage: Stage,
    file: Path,
    *,
    beside: Collection[str] = (),
    allow_changed: Collection[str] = (),
    tell: Tell = on_stderr,
) -> dict[str, Any]:
    """Run the one stage of a command whose result is a file. What it needs to go on lies beside it, hidden.

    Those files of the stage that `beside` names, where it wrote them, become `file` with their name behind its own.

    Raises NotOurs for a file that no such command wrote.
    """
    folder = file.with_name(f".{file.name}.burnish")
    if file.exists() and not (folder / "inputs.json").exists():
        raise NotOurs(f"{file}: is there already, and burnish did not write it; choose another --out")
    ours(folder, "inputs.json")
    with held(folder), outlived(signal.SIGUSR1):
        figures = _perform(stage, folder, folder, Hashes.of(folder), allow_changed, tell)
        for name in beside:
            if (folder / name).exists():
                _copied(folder / name, file.with_name(f"{file.name}.{name}"))
        _copied(folder / METHODS[stage.method].gives["groups"], file)
    return figures


def _copied(file: Path, to: Path) -> None:
    aside = to.with_name(f".tmp-{to.name}")
    shutil.copyfile(file, aside)
    sync_folder(aside)
    aside.replace(to)
