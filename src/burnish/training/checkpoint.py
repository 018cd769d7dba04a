"""Checkpoints that are complete or not there.

    write aside → fsync each file → manifest with sizes and hashes → fsync → rename → fsync the folder

The rename is the commit. A resume scans what lies there, verifies it against its manifest, and takes the newest that
is whole; what is broken is named and kept aside, never used silently. Nothing is pickled: tensors are safetensors, the
rest is JSON.
"""

import hashlib
import json
import os
import shutil
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from burnish.data.durable import sync_folder
from burnish.errors import CheckpointError, WriteFailed

MANIFEST = "manifest.json"
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
    """Commit `shards` and `facts` as `folder/step-NNNNNN` and prune older ones, never below `keep`.

    Raises WriteFailed where the disk is full or fails; what was there before stays.
    """
    final = folder / f"step-{step:06d}"
    aside = folder / f".tmp-{final.name}-{uuid.uuid4().hex[:8]}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        _room_for(folder, sum(t.numel() * t.element_size() for shard in shards.values() for t in shard.values()))
        aside.mkdir()
        files: dict[str, Any] = {}
        for name, tensors in shards.items():
            path = aside / f"{name}.safetensors"
            save_file({k: v.detach().contiguous() for k, v in tensors.items()}, path)
            sync_folder(path)
            files[path.name] = {"bytes": path.stat().st_size, "sha256": file_hash(path), "tensors": len(tensors)}
        write_durably(aside / MANIFEST, json.dumps({"step": step, "files": files, "facts": facts}, indent=1))
        sync_folder(aside)
        if final.exists():  # the same step of a run that was cut before it could say so
            _discard(final)
        aside.rename(final)
        sync_folder(folder)
    except OSError as error:
        shutil.rmtree(aside, ignore_errors=True)
        raise WriteFailed(
            f"{folder}: the checkpoint of step {step} could not be written: {error}. "
            "Nothing that was there is lost. Free some space and run the same command again."
        ) from error
    for old in _steps_in(folder)[:-keep]:
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
        except (OSError, ValueError, KeyError, TypeError) as error:
            troubles.append(f"{path}: {error}")
            aside = path.with_name(f"broken-{path.name}-{uuid.uuid4().hex[:8]}")
            path.rename(aside)
    troubles += [f"{path}: found broken before" for path in sorted(folder.glob("broken-step-*")) if not troubles]
    if troubles:
        raise CheckpointError(
            "no whole checkpoint is left:\n  "
            + "\n  ".join(troubles)
            + f"\nThey are kept under {folder}. To start again from step 0, move that folder away."
        )
    return None, troubles


def file_hash(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def write_durably(path: Path, text: str) -> None:
    """Write a small file so that it is there whole or not at all, even if the machine dies."""
    aside = path.with_name(f".tmp-{path.name}-{uuid.uuid4().hex[:8]}")
    with aside.open("w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    aside.replace(path)
    sync_folder(path.parent)


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


def _verified(path: Path) -> Checkpoint:
    manifest = json.loads((path / MANIFEST).read_text(encoding="utf-8"))
    for name, wanted in manifest["files"].items():
        file = path / name
        size = file.stat().st_size
        if size != wanted["bytes"]:
            raise ValueError(f"{name} has {size} bytes, its manifest says {wanted['bytes']}")
        if file_hash(file) != wanted["sha256"]:
            raise ValueError(f"{name} does not have the hash of its manifest: it was damaged after it was written")
    return Checkpoint(step=int(manifest["step"]), path=path, facts=dict(manifest["facts"]))


def _steps_in(folder: Path) -> list[Path]:
    return sorted((p for p in folder.glob("step-*") if p.is_dir()), key=lambda p: int(p.name.removeprefix("step-")))


def _discard(path: Path) -> None:
    """Rename, then delete: a kill in between leaves something that no scan takes for a checkpoint."""
    trash = path.with_name(f".trash-{path.name}-{uuid.uuid4().hex[:8]}")
    path.rename(trash)
    shutil.rmtree(trash, ignore_errors=True)


def _room_for(folder: Path, size: int) -> None:
    free = shutil.disk_usage(folder).free
    if free < size * 1.2:
        raise OSError(f"{free / 1e9:.2f} GB are free and {size * 1.2 / 1e9:.2f} GB are needed")
