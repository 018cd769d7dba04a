"""Checkpoints that are complete or not there.

    write aside → fsync each file → manifest with sizes and hashes → fsync → rename → fsync the folder → prune

The rename is the commit. A resume scans what lies there, verifies it against its manifest, and takes the newest that
is whole; what is broken is named and kept aside, never used silently. Nothing is pickled: tensors are safetensors, the
rest is JSON.
"""

import hashlib
import json
import os
import shutil
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from burnish.data.durable import sync_folder
from burnish.errors import CheckpointError, DataError, WriteFailed
from burnish.testing.faults import reach

MANIFEST = "manifest.json"
WHY = "why.txt"
"""In a checkpoint that was put aside: what is wrong with it."""
UNFINISHED = (".tmp-step-*", ".trash-step-*")
"""What a process that was killed may leave beside checkpoints: saves that were not committed, prunes that were."""
Shards = Mapping[str, Mapping[str, Tensor]]
"""File name (without suffix) → its tensors."""


@dataclass(frozen=True)
class Checkpoint:
    step: int
    path: Path
    facts: dict[str, Any]

    def tensors(self, name: str) -> dict[str, Tensor]:
        return load_file(self.path / f"{name}.safetensors")


def save_checkpoint(folder: Path, step: int, shards: Shards, facts: Mapping[str, Any], *, keep: int = 2) -> Path:
    """Commit `shards` and `facts` as `folder/step-NNNNNN` and prune older ones, never below `keep` of their full size.

    Raises WriteFailed where the disk is full or fails: what was there before stays, and nothing of the attempt.
    """
    final = folder / f"step-{step:06d}"
    aside = folder / f".tmp-{final.name}-{uuid.uuid4().hex[:8]}"
    needed = tensor_bytes(shards) * 6 // 5  # headers, the manifest, and what others write meanwhile
    try:
        folder.mkdir(parents=True, exist_ok=True)
        free = shutil.disk_usage(folder).free
        if free < needed:
            raise OSError("there is no room for it")
        aside.mkdir()
        _write(aside, step, shards, facts)
        reach("ckpt.before_rename", step, file=aside)
        if final.exists():  # the same step of a run that was cut before it could say so
            _discard(final)
        aside.rename(final)
        sync_folder(folder)
        reach("ckpt.after_rename", step, file=final)
    except BaseException as error:
        shutil.rmtree(aside, ignore_errors=True)
        if isinstance(error, OSError | SafetensorError):  # the latter is what safetensors makes of the former
            raise WriteFailed(_not_written(folder, step, needed, error)) from error
        raise
    steps = _steps_in(folder)
    sound = [path for path in steps if _has_its_size(path)]
    for old in steps[: steps.index(sound[-keep])] if len(sound) > keep else []:
        _discard(old)
    return final


def newest_checkpoint(folder: Path) -> tuple[Checkpoint | None, list[str]]:
    """The newest whole checkpoint, and a sentence for each newer one that is broken.

    Raises CheckpointError if there are checkpoints and none is whole: a run never starts again at 0 silently.
    """
    troubles: list[str] = []
    for path in reversed(_steps_in(folder)):
        try:
            return _verified(path), troubles
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            wrong = f"{MANIFEST} has no {error}" if isinstance(error, KeyError) else str(error)
            aside = path.with_name(f"broken-{path.name}-{uuid.uuid4().hex[:8]}")
            path.rename(aside)
            with suppress(OSError):  # it is told now in any case
                (aside / WHY).write_text(f"{wrong}\n", encoding="utf-8")
            troubles.append(f"{path}: {wrong}; it is kept as {aside.name}")
    broken = sorted(folder.glob("broken-step-*"))
    if broken:
        raise CheckpointError(
            "no whole checkpoint is left:\n"
            + "\n".join(f"  {path}: {_why(path)}" for path in broken)
            + f"\nThey are kept under {folder}. To start again from step 0, move that folder away."
        )
    return None, troubles


def remove_unfinished(folder: Path) -> list[str]:
    """Delete what a killed process left of a save or a prune, and return the names. No other process may save there."""
    left = sorted(path for pattern in UNFINISHED for path in folder.glob(pattern))
    for path in left:
        shutil.rmtree(path, ignore_errors=True)
    return [path.name for path in left]


def tensor_bytes(shards: Shards) -> int:
    return sum(one.numel() * one.element_size() for tensors in shards.values() for one in tensors.values())


def file_hash(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def write_durably(path: Path, text: str) -> None:
    """Write a small file so that it is there whole or not at all, even if the machine dies."""
    aside = path.with_name(f".tmp-{path.name}-{uuid.uuid4().hex[:8]}")
    try:
        with aside.open("w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        aside.replace(path)
    except BaseException:
        aside.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


def write_tensors(path: Path, tensors: Mapping[str, Tensor], about: Mapping[str, str] | None = None) -> None:
    """As `write_durably` does, a file of tensors and what is said `about` them."""
    aside = path.with_name(f".tmp-{path.name}")
    try:
        save_file(dict(tensors), aside, metadata=None if about is None else dict(about))
        sync_folder(aside)  # a name without its bytes would be taken for what was written
        aside.replace(path)
    except BaseException:
        aside.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


@contextmanager
def telling_damage(path: Path, remedy: str) -> Iterator[None]:
    """Within, raise DataError where the file of tensors at `path` cannot be read."""
    try:
        yield
    except SafetensorError as error:
        raise DataError(f"{path}: is damaged ({error}); {remedy}") from error


def optimiser_tensors(optimiser: torch.optim.Optimizer, names: Mapping[torch.nn.Parameter, str]) -> dict[str, Tensor]:
    """The optimiser's state as flat named tensors: `parameter//key`."""
    return {
        f"{name}//{key}": value
        for parameter, name in names.items()
        for key, value in optimiser.state.get(parameter, {}).items()
    }


def restore_optimiser(
    optimiser: torch.optim.Optimizer, parameters: Mapping[str, torch.nn.Parameter], tensors: Mapping[str, Tensor]
) -> None:
    """Put back what `optimiser_tensors` took. Raises CheckpointError where a parameter is missing or unknown."""
    for flat, value in tensors.items():
        name, _, key = flat.rpartition("//")
        if name not in parameters:
            raise CheckpointError(f"the checkpoint's optimiser knows {name!r}, which this model does not have")
        parameter = parameters[name]
        on_device = value if key == "step" else value.to(parameter.device)
        optimiser.state[parameter][key] = on_device


def _write(aside: Path, step: int, shards: Shards, facts: Mapping[str, Any]) -> None:
    """All files of a checkpoint and then its manifest, each on the disk when this returns."""
    files: dict[str, Any] = {}
    for number, (name, tensors) in enumerate(shards.items(), 1):
        path = aside / f"{name}.safetensors"
        save_file({k: v.detach().contiguous() for k, v in tensors.items()}, path)
        reach("ckpt.write", number, file=path)
        sync_folder(path)
        files[path.name] = {"bytes": path.stat().st_size, "sha256": file_hash(path), "tensors": len(tensors)}
    write_durably(aside / MANIFEST, json.dumps({"step": step, "files": files, "facts": facts}, indent=1))
    sync_folder(aside)


def _not_written(folder: Path, step: int, needed: int, error: Exception) -> str:
    last = next((path.name for path in reversed(_steps_in(folder))), "") if folder.is_dir() else ""
    free = f"{shutil.disk_usage(folder).free:,} are free" if folder.is_dir() else "its folder cannot be made"
    before = f"{last} is whole" if last else "Nothing was saved before it"
    return (
        f"{folder}: the checkpoint of step {step} could not be written ({error}): it needs {needed:,} bytes, and "
        f"{free}. {before}. Free some space and run the same command again."
    )


def _verified(path: Path) -> Checkpoint:
    reach("ckpt.read", int(path.name.removeprefix("step-")), file=path)
    manifest, files = _manifest(path)
    for name, wanted in files.items():
        file = path / name
        size = file.stat().st_size
        if size != wanted["bytes"]:
            raise ValueError(f"{name} has {size} bytes, its manifest says {wanted['bytes']}")
        if file_hash(file) != wanted["sha256"]:
            raise ValueError(f"{name} does not have the hash of its manifest: it was damaged after it was written")
    return Checkpoint(step=int(manifest["step"]), path=path, facts=dict(manifest["facts"]))


def _manifest(path: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """A checkpoint's manifest, and its files. Raises OSError, ValueError or KeyError where it is not one."""
    manifest = json.loads((path / MANIFEST).read_text(encoding="utf-8"))
    if not isinstance(manifest, dict) or not isinstance(files := manifest["files"], dict) or not files:
        raise ValueError(f"{MANIFEST} names no files")
    if manifest["step"] != int(path.name.removeprefix("step-")):
        raise ValueError(f"{MANIFEST} is of step {manifest['step']!r}")
    return manifest, files


def _has_its_size(path: Path) -> bool:
    """Whether a checkpoint is as large as its manifest says: what can be told without reading it."""
    try:
        return all((path / name).stat().st_size == one["bytes"] for name, one in _manifest(path)[1].items())
    except (OSError, ValueError, KeyError, TypeError):
        return False


def _why(broken: Path) -> str:
    try:
        return (broken / WHY).read_text(encoding="utf-8").strip()
    except (OSError, ValueError):
        return "found broken before"


def _steps_in(folder: Path) -> list[Path]:
    """A copy that somebody made under another name, step-000004-old say, is left alone."""
    numbered = [p for p in folder.glob("step-*") if p.is_dir() and p.name.removeprefix("step-").isdecimal()]
    return sorted(numbered, key=lambda p: int(p.name.removeprefix("step-")))


def _discard(path: Path) -> None:
    """Rename, then delete: a kill in between leaves something that no scan takes for a checkpoint."""
    trash = path.with_name(f".trash-{path.name}-{uuid.uuid4().hex[:8]}")
    path.rename(trash)
    reach("ckpt.prune", file=trash)
    shutil.rmtree(trash, ignore_errors=True)
