"""What a stage's inputs are, by content: hashes of files, folders, hub models and other stages' results."""

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any

from burnish.data.secrets import masked
from burnish.models.files import model_directory
from burnish.recipes.graph import Result
from burnish.recipes.inputs import HUB_ID
from burnish.training import bad_batch, trackers, watchdog
from burnish.training.checkpoint import file_hash, write_durably

LINES = (".jsonl", ".txt", ".csv")


@dataclass
class Hashes:
    """Hashes of files, remembered in `file` by size and time of change: a model of 16 GB is read once."""

    file: Path | None = None
    known: dict[str, list[Any]] = field(default_factory=dict)

    @classmethod
    def of(cls, run: Path) -> "Hashes":
        file = run / ".cache" / "hashes.json"
        try:
            known = json.loads(file.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            known = {}  # only a memory: what is lost is taken again
        return cls(file, known if isinstance(known, dict) else {})

    def __call__(self, path: Path) -> str:
        state = path.stat()
        key, stamp = str(path.resolve()), [state.st_size, state.st_mtime_ns, state.st_ino]
        if self.known.get(key, [None])[:-1] != stamp:
            self.known[key] = [*stamp, file_hash(path)]
            if self.file is not None:
                self.file.parent.mkdir(parents=True, exist_ok=True)
                write_durably(self.file, json.dumps(self.known))
        return str(self.known[key][-1])


def described_inputs(inputs: Mapping[str, Any], run: Path, hashes: Hashes, place: Path) -> dict[str, Any]:
    """Each input as inputs.json keeps it: what was named, and the hash of what it holds."""
    return {key: _described(value, run, hashes, place) for key, value in inputs.items() if value is not None}


def _described(value: Any, run: Path, hashes: Hashes, place: Path) -> Any:
    if isinstance(value, Mapping):
        return {key: _described(inner, run, hashes, place) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_described(inner, run, hashes, place) for inner in value]
    if isinstance(value, Result):
        return {"stage": value.stage, "sha256": result_hash(run / value.stage, value.path)}
    if isinstance(value, Path):
        return _path(value, hashes)
    if isinstance(value, str):
        return _text(value, hashes, place)
    return value


def _path(path: Path, hashes: Hashes) -> dict[str, Any]:
    if path.is_dir():
        files = {str(p.relative_to(path)): hashes(p) for p in sorted(path.rglob("*")) if p.is_file()}
        return {"path": str(path), "sha256": _together(files)}
    told: dict[str, Any] = {"path": str(path), "sha256": hashes(path), "bytes": path.stat().st_size}
    if path.suffix in LINES:
        with path.open("rb") as file:
            told["lines"] = sum(1 for _ in file)
    return told


def _text(value: str, hashes: Hashes, place: Path) -> Any:
    """A hub id with the commit that lies in the cache, a function with its source's hash, or the text itself."""
    module, colon, _ = value.partition(":")
    source = place / f"{module.replace('.', '/')}.py"
    if colon and source.is_file():
        return {"name": value, "sha256": hashes(source)}
    if value.count("/") == 1 and not colon:
        return {"hub": value, "revision": _revision(value)}
    return masked(value)


def fetch(inputs: Mapping[str, Any]) -> None:
    """Download the hub models among inputs that may name some, and are not there yet, so that their commit is known."""
    for key, value in inputs.items():
        for name in _hub_ids(value.values() if key == "models" and isinstance(value, Mapping) else value):
            model_directory(name)


def _hub_ids(value: Any) -> Iterator[str]:
    """Those of an input; of who judges, what `by` and `judge` name: a judge's other texts may look like an id."""
    if isinstance(value, str) and HUB_ID.fullmatch(value):
        yield value
    elif isinstance(value, Mapping):
        for key in ("by", "judge"):
            yield from _hub_ids(value.get(key))
    elif isinstance(value, Iterable) and not isinstance(value, str):
        for one in value:
            yield from _hub_ids(one)


def _revision(hub_id: str) -> str:
    """The commit of a hub model in the local cache, empty where it was not downloaded yet."""
    from huggingface_hub import try_to_load_from_cache

    found = try_to_load_from_cache(hub_id, "config.json")
    return Path(found).parent.name if isinstance(found, str) else ""


def result_hash(stage: Path, path: str) -> str:
    """The hash of what a finished stage left at `path`, from its DONE.json."""
    outputs = json.loads((stage / "DONE.json").read_text(encoding="utf-8"))["outputs"]
    return _together({k: v["sha256"] for k, v in outputs.items() if k == path or k.startswith(f"{path}/")})


def outputs_of(stage: Path, hashes: Hashes) -> dict[str, dict[str, Any]]:
    """What a stage leaves, by path under its folder: all but what helps it to go on, or says why it once stopped."""
    files = {p.relative_to(stage): p for p in sorted(stage.rglob("*")) if p.is_file()}
    return {
        name.as_posix(): {"bytes": p.stat().st_size, "sha256": hashes(p)}
        for name, p in files.items()
        if name.parts[0] not in ("inputs.json", "DONE.json", "run.lock")
        and name.name not in (bad_batch.FILE, watchdog.FILE)
        and not any(part in ("checkpoints", trackers.FOLDER) or part.startswith(".") for part in name.parts)
    }


def damage(stage: Path, outputs: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """What of `outputs` is gone or has another size."""
    troubles = []
    for name, wanted in outputs.items():
        file = stage / name
        size = file.stat().st_size if file.is_file() else None
        if size != wanted["bytes"]:
            now = "gone" if size is None else f"{size} bytes"
            troubles.append(f"{file}: {wanted['bytes']} bytes when the stage was done, {now} now")
    return troubles


def _together(hashes: Mapping[str, str]) -> str:
    return sha256(json.dumps(sorted(hashes.items())).encode()).hexdigest()
