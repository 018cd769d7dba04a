"""A stage's folder: what went in (`inputs.json`), what came out (`DONE.json`, written last), and what is to be done.

nothing there → run        inputs.json, no DONE.json → resume        DONE.json → reuse
inputs.json says something else than now → refused, naming each field, until it is put back or allowed
"""

import fcntl
import json
import os
import platform
import shutil
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel

from burnish.data.durable import sync_folder
from burnish.data.problems import described, listed
from burnish.data.read import REJECTED
from burnish.data.secrets import masked
from burnish.data.strict_json import finite
from burnish.errors import ConfigError, DataError, NotOurs
from burnish.recipes.artefacts import Hashes, damage, described_inputs
from burnish.recipes.graph import Stage
from burnish.testing.faults import reach
from burnish.training import bad_batch, watchdog
from burnish.training.checkpoint import write_durably
from burnish.training.config import flat, flat_defaults
from burnish.training.identity import NOT_IDENTITY
from burnish.training.machine import versions

Changes = Mapping[str, tuple[Any, Any]]
"""A field's name → what it was and what it is."""


LOSES_NOTHING = {
    "inputs.json",
    "metrics.jsonl",
    "samples.jsonl",
    "safety.jsonl",
    "choices.jsonl",
    bad_batch.FILE,
    watchdog.FILE,
    "track",
    "reference.safetensors",
    "reference-heldout.safetensors",
    "run.lock",
    ".cache",
}
"""What a stage that saved nothing may have left: all of it is made again."""


@dataclass(frozen=True, slots=True)
class Standing:
    """What a run would do with a stage, and why."""

    does: Literal["reuse", "resume", "run", "wait", "refuse"]
    why: str
    changes: Changes


def facts(stage: Stage, run: Path, hashes: Hashes) -> dict[str, Any]:
    """What inputs.json says of a stage: settings as resolved, and inputs by hash."""
    return {
        "stage": stage.name,
        "method": stage.method,
        "settings": masked(stage.config.model_dump(mode="json")),
        "inputs": described_inputs(stage.inputs, run, hashes, stage.allowed.place),
    }


def standing(stage: Stage, folder: Path, now: Mapping[str, Any]) -> Standing:
    """Raises NotOurs for a folder that a stage of this name did not make, DataError where its results are damaged."""
    kept = read_json(folder / "inputs.json")
    if kept is None:
        ours(folder, "inputs.json")
        return Standing("run", "nothing is there", {})
    if kept.get("method") != now["method"]:
        raise NotOurs(
            f"{folder}: holds a stage of method {kept.get('method')}, not {now['method']}; choose another --out"
        )
    done = read_json(folder / "DONE.json")
    changes = changed(kept, now, type(stage.config))
    if changes and done is None and all(_made_again(path) for path in folder.iterdir()):
        return Standing("run", "it was started with something else, and nothing was saved", {})
    if changes:
        return Standing("refuse", f"{', '.join(changes)} differ from what it was started with", changes)
    if done is None:
        saved = sorted(p.name for p in (folder / "checkpoints").glob("step-*"))
        return Standing("resume", f"not finished; {f'goes on after {saved[-1]}' if saved else 'nothing was saved'}", {})
    if troubles := damage(folder, done["outputs"]):
        raise DataError("\n".join(troubles) + f"\nPut them back, or remove {folder} to make the stage again.")
    return Standing("reuse", f"done {done['finished']}, settings and inputs are the same", {})


def _made_again(path: Path) -> bool:
    if path.name == "checkpoints":  # where a first save was cut
        return all(saved.name.startswith(".") for saved in path.iterdir())
    return path.name in LOSES_NOTHING or path.name.endswith(REJECTED) or _unfinished(path.name)


def _unfinished(name: str) -> bool:
    """Whether a process that was killed left it amid writing something whole."""
    return name.startswith(".tmp-")


def changed(kept: Mapping[str, Any], now: Mapping[str, Any], kind: type[BaseModel]) -> Changes:
    """Fields that differ and were not allowed to. A key that is new in `kind` and at its default has not changed."""
    before, after, default = flat(kept["settings"]), flat(now["settings"]), flat_defaults(kind)
    found: dict[str, tuple[Any, Any]] = {}
    for key in sorted(before.keys() | after.keys()):
        if key.split(".")[0] in NOT_IDENTITY or before.get(key, default.get(key)) == after.get(key, default.get(key)):
            continue
        found[key] = (before.get(key), after.get(key))
    for key in sorted(kept["inputs"].keys() | now["inputs"].keys()):
        old, new = kept["inputs"].get(key), now["inputs"].get(key)
        if content(old) != content(new):
            found[key] = (old, new)
    allowed = kept.get("allowed", {})
    return {key: pair for key, pair in found.items() if key not in allowed or content(allowed[key]) != content(pair[1])}


def refusal(stage: Stage, folder: Path, changes: Changes) -> ConfigError:
    lines = [f"  {stage.name}.{key}: {_shown(old)} then, {_shown(new)} now" for key, (old, new) in changes.items()]
    first = f"{stage.name}.{next(iter(changes))}"
    finished = (folder / "DONE.json").exists()
    use = "keep what it made" if finished else "go on all the same"
    return ConfigError(
        f"{folder}: was {'made' if finished else 'started'} with something else:\n" + "\n".join(lines) + "\n"
        f"Put it back; or {use}, which is recorded: --allow-changed {first}; or make it anew: remove {folder}, or "
        "choose another --out."
    )


def ours(folder: Path, marker: str) -> None:
    """Raises NotOurs for a folder with files that has no `marker`: nothing is written among what others made."""
    if folder.is_dir() and not (folder / marker).exists():
        there = {path.name for path in folder.iterdir()} - {".cache", "run.lock"}
        strange = sorted(name for name in there if not _unfinished(name))
        if strange:
            raise NotOurs(
                f"{folder}: has files ({listed(strange, 5)}) and no {marker}: burnish did not make it; "
                "choose another --out"
            )
    elif folder.exists() and not folder.is_dir():
        raise NotOurs(f"{folder}: is a file; --out names a folder")


def allow(folder: Path, changes: Changes) -> None:
    """Record that these changes were asked for, so that the next call needs no telling."""
    kept = read_json(folder / "inputs.json") or {}
    kept["allowed"] = kept.get("allowed", {}) | {key: new for key, (_, new) in changes.items()}
    write_json(folder / "inputs.json", kept)


def allowed_before(folder: Path) -> list[str]:
    """Fields that were ever allowed to change in this folder."""
    return list((read_json(folder / "inputs.json") or {}).get("allowed", {}))


def begin(folder: Path, now: Mapping[str, Any]) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        write_json(folder / "inputs.json", {**now, "started": moment(), "versions": versions()})
    except OSError as error:
        raise NotOurs(f"{folder}: cannot be written ({error.strerror}); choose another --out") from error


def finish(folder: Path, figures: Mapping[str, Any], outputs: Mapping[str, Any], seconds: float) -> None:
    """The stage is done when this returns, and all that it made is on the disk."""
    made = {folder / name for name in outputs}
    for path in sorted(made | {parent for file in made for parent in file.parents if parent.is_relative_to(folder)}):
        sync_folder(path)
    reach("stage.before_done")
    done = {"finished": moment(), "seconds": round(seconds, 3), "figures": figures, "outputs": outputs}
    write_json(folder / "DONE.json", done)


def remove_checkpoints(folder: Path) -> None:
    """Delete what a stage that is done would have gone on from: twice three times its weights.

    Renamed, then deleted: a kill in between leaves nothing that looks like a checkpoint and is none.
    """
    for path in sorted(folder.rglob("checkpoints")):
        path.rename(path.with_name(f".trash-checkpoints-{uuid.uuid4().hex[:8]}"))
    for left in sorted(folder.rglob(".trash-checkpoints-*")):
        shutil.rmtree(left, ignore_errors=True)


def done_figures(folder: Path) -> dict[str, Any]:
    done = read_json(folder / "DONE.json")
    return dict(done["figures"]) if done else {}


@contextmanager
def held(folder: Path) -> Iterator[None]:
    """Only one process works in a folder. A lock dies with its process, so none is ever stale."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        file = (folder / "run.lock").open("a+", encoding="utf-8")
    except OSError as error:
        raise NotOurs(f"{folder}: cannot be written ({error.strerror}); choose another --out") from error
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            raise NotOurs(f"{folder}: is held by {file.read().strip() or 'another process'}; wait for it") from None
        file.seek(0)
        file.truncate()
        file.write(f"process {os.getpid()} on {platform.node()} since {moment()}\n")
        file.flush()
        yield


def moment() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def write_json(path: Path, value: Any) -> None:
    write_durably(path, json.dumps(finite(masked(value)), indent=1, ensure_ascii=False, allow_nan=False) + "\n")


def content(value: Any) -> Any:
    """What a described input holds, without where it lies: a folder that was moved has not changed."""
    if isinstance(value, Mapping):
        if "sha256" in value:
            return value["sha256"]
        return {key: content(inner) for key, inner in value.items()}
    return [content(inner) for inner in value] if isinstance(value, list | tuple) else value


def read_json(path: Path) -> dict[str, Any] | None:
    """None where there is no such file. Raises DataError for one that is not whole: it was written to be."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except ValueError as error:
        raise DataError(f"{path}: damaged ({error}); remove {path.parent} to make the stage again") from None
    if not isinstance(found, dict):
        raise DataError(f"{path}: damaged (no object); remove {path.parent} to make the stage again")
    return found


def _shown(value: Any) -> str:
    if isinstance(value, Mapping) and "sha256" in value:
        size = f", {value['lines']} lines" if "lines" in value else ""
        return f"{value.get('path') or value.get('stage') or value.get('name')} ({value['sha256'][:12]}{size})"
    if isinstance(value, Mapping) and "revision" in value:
        return f"{value['hub']} ({value['revision'][:12] or 'not downloaded'})"
    if isinstance(value, list | tuple):
        return ", ".join(_shown(inner) for inner in value)
    return str(value) if isinstance(value, int | float | str) else described(value)
