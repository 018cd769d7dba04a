"""A model that leaves its run: as a directory for transformers, or as a GGUF file, with its card and checked.

    find the model → merge its adapter → write aside → check what was written → card → fsync → rename

The folder is whole or not there. `export.json` in it says from what it was made, so that the same call again does
nothing, and another one is refused.
"""

import re
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal

from burnish.data.durable import sync_folder
from burnish.data.problems import listed
from burnish.errors import ConfigError, DataError, MissingInput, NotOurs, UsageError
from burnish.methods.ensemble import refuse_ensemble
from burnish.models.files import is_scorer, json_object
from burnish.recipes.artefacts import Hashes, damage, described_inputs
from burnish.recipes.card import Subject, card
from burnish.recipes.folder import content, held, ours, read_json, write_json
from burnish.recipes.lineage import Input, Lineage, base_licence, lineage, require_finished
from burnish.training.checkpoint import file_hash

Format = Literal["hf", "gguf"]
FORMATS: tuple[Format, ...] = ("hf", "gguf")
RECORD = "export.json"
CARD = "README.md"
SIZE = re.compile(r"\d+(\.\d+)?[KMGT]B", re.IGNORECASE)


@dataclass(frozen=True)
class Found:
    """Where a model lies: its directory, its `adapter` where that is still to be merged, the `stage` that made it, and
    its id on the `hub`, or that of what the adapter was trained on."""

    folder: Path
    adapter: Path | None
    stage: Path | None
    hub: str = ""


@dataclass(frozen=True)
class Written:
    """What an export left in its folder, and what was seen of it."""

    subject: Subject
    checks: Mapping[str, Any]


def export(
    model: str | Path,
    out: Path,
    *,
    format: str = "hf",  # noqa: A002  # what everybody calls it
    dtype: str | None = None,
    shard_size: str = "5GB",
    base: str | None = None,
) -> dict[str, Any]:
    """Write `model` into the new folder `out` and return what was checked.

    `model`: a model directory, a stage's folder, an adapter's folder, or a hub id. `dtype`: for hf float32, bfloat16 or
    float16, by default as it is stored; for gguf f32, f16 (the default), bf16 or q8_0. `base`: what an adapter was
    trained on, where its own config names something that is not there.

    Raises UsageError, MissingInput, ConfigError, NotOurs, or DataError where the copy is not the model. Nothing is left
    then.
    """
    dtype = _dtype(format, dtype)
    if not SIZE.fullmatch(shard_size):
        raise UsageError(f"--shard-size {shard_size}: a number with KB, MB, GB or TB, such as 5GB")
    typed, out = out, out.resolve()
    found = find(model, base)
    asked = {
        "format": format,
        "dtype": dtype or "as stored",
        **({"shard_size": shard_size} if format == "hf" else {}),
        **_weights(found),
    }
    if (kept := _kept(out, asked)) is not None:
        return {"out": str(typed), **kept}
    _free(out)
    beside = out.with_name(f".{out.name}.burnish")
    with held(beside):
        for left in beside.iterdir():  # of an export that was killed: nobody else holds the folder
            if left.name != "run.lock":
                shutil.rmtree(left) if left.is_dir() else left.unlink()
        try:
            told = _export(found, beside, out, asked, dtype, shard_size)
        finally:
            shutil.rmtree(beside, ignore_errors=True)
    return {"out": str(typed), **told}


def _dtype(format: str, dtype: str | None) -> str | None:  # noqa: A002
    from burnish.models.export import DTYPES
    from burnish.models.gguf import KINDS

    if format not in FORMATS:
        raise UsageError(f"--format {format}: one of {', '.join(FORMATS)}")
    kinds: tuple[str, ...] = DTYPES if format == "hf" else KINDS
    if dtype is not None and dtype not in kinds:
        raise UsageError(f"--dtype {dtype}: for --format {format} one of {', '.join(kinds)}")
    return dtype or (None if format == "hf" else "f16")


# ---- what is exported


def _weights(found: Found) -> dict[str, Any]:
    """What went in, by name and by the hash of what it holds; nobody's folders, for the copy may go anywhere."""
    told = described_inputs({"model": found.folder, "adapter": found.adapter}, Path(), Hashes(), Path())
    return {key: {"name": Path(one["path"]).name, "sha256": one["sha256"]} for key, one in told.items()}


def _known(found: Found) -> Lineage:
    """The stages that made it; of a model that no stage made, where it was copied from."""
    known = lineage(found.stage)
    if known.steps:
        return known
    if found.hub:
        return replace(known, base=Input("model", found.hub, hub=True, revision=found.folder.name))
    base = Input("model", found.folder.resolve().name, path=str(found.folder.resolve()))
    return replace(known, base=base, licence=base_licence(base))


def find(model: str | Path, base: str | None = None) -> Found:
    """The model that a user means: by its directory, its stage's, its adapter's, or as a hub id."""
    from burnish.models.export import adapter_base, adapter_named, is_adapter
    from burnish.models.files import check_model_directory, model_directory

    path = Path(model)
    stage = _stage(path)
    if stage is not None:
        require_finished(stage)
    if stage is not None and path.resolve() == stage:
        if not (path / "model").is_dir():
            held_here = listed(sorted(p.name for p in path.iterdir() if not p.name.startswith(".")))
            raise MissingInput(f"{path}: this stage made no model; it holds {held_here}")
        path = path / "model"
    refuse_ensemble(path, "an export")
    adapter = path if path.is_dir() and is_adapter(path) else None
    folder = adapter_base(path, base) if adapter else model_directory(path)
    if base is not None and adapter is None:
        raise UsageError(f"--base {base}: {path} is a whole model; only an adapter has a base")
    check_model_directory(folder)
    named = str(adapter_named(adapter, base) if adapter else model)
    return Found(folder, adapter, stage, hub="" if Path(named).exists() else named)


def _stage(path: Path) -> Path | None:
    """The stage whose folder this is, or what it made as `model` or `adapter`."""
    path = path.resolve()
    if (path / "inputs.json").is_file() and not (path / "config.json").is_file():
        return path
    return path.parent if path.name in ("model", "adapter") and (path.parent / "inputs.json").is_file() else None


# ---- where it goes


def _kept(out: Path, asked: Mapping[str, Any]) -> dict[str, Any] | None:
    """What the same export said before, where it is done. Raises ConfigError for another one, DataError for damage."""
    record = read_json(out / RECORD) if out.is_dir() else None
    if record is None:
        return None
    before = record.get("asked")
    if not isinstance(before, dict) or content(before) != content(asked):
        changed = [k for k in asked if not isinstance(before, dict) or content(before.get(k)) != content(asked[k])]
        raise ConfigError(
            f"{out}: holds another export ({', '.join(changed) or 'something else'} differ); choose another --out, or "
            "remove it"
        )
    if troubles := damage(out, record.get("files") or {}):
        raise DataError("\n".join(troubles) + f"\nRemove {out} to export it again")
    return dict(record["told"])


def _free(out: Path) -> None:
    """Raise NotOurs unless a folder can be put at `out`."""
    if out.suffix == ".gguf":
        raise UsageError(f"{out}: --out names a folder, in which the file lies with its card; drop the ending")
    ours(out, RECORD)
    if out == Path.cwd():
        raise UsageError(f"{out}: is where you are, and a finished folder takes the place of --out; name another one")
    for above in out.parents:
        if above.exists():
            if not above.is_dir():
                raise NotOurs(f"{out}: {above} is a file; choose another --out")
            return


def _export(
    found: Found, beside: Path, out: Path, asked: Mapping[str, Any], dtype: str | None, shard_size: str
) -> dict[str, Any]:
    from burnish.models.export import merge_adapter, stored_dtype

    known = _known(found)
    folder = found.folder
    if found.adapter is not None:
        dtype = dtype or stored_dtype(found.folder)  # it is merged in float32
        folder = merge_adapter(found.adapter, found.folder, beside / "merged")
    aside = beside / "out"
    aside.mkdir()
    write = _hf if asked["format"] == "hf" else _gguf
    written = write(folder, aside, known, dtype=dtype, name=out.name, shard_size=shard_size)
    subject = written.subject
    if found.adapter is not None:
        subject = replace(subject, merged=f"{found.adapter.parent.name}/{found.adapter.name} into {found.folder.name}")
    (aside / CARD).write_text(card(subject, known), encoding="utf-8")
    files: dict[str, dict[str, Any]] = {
        p.name: {"bytes": p.stat().st_size, "sha256": file_hash(p)} for p in sorted(aside.iterdir())
    }
    told = {
        "format": asked["format"],
        "kind": {"policy": "language model", "scorer": "reward model"}[subject.kind],
        "dtype": subject.dtype,
        "weights": subject.parameters,
        "files": len(files) + 1,
        "bytes": sum(file["bytes"] for file in files.values()),
        **written.checks,
        **({"notes": list(subject.notes)} if subject.notes else {}),
    }
    write_json(aside / RECORD, {"burnish": version("burnish"), "asked": asked, "told": told, "files": files})
    for file in aside.iterdir():
        sync_folder(file)
    sync_folder(aside)
    aside.rename(out)
    sync_folder(out.parent)
    return told


# ---- the two formats


def _template(known: Lineage) -> str:
    """The template that the model was last trained with."""
    return str(known.stage.settings.get("template", "auto")) if known.stage is not None else "auto"


def _hf(folder: Path, aside: Path, known: Lineage, *, dtype: str | None, name: str, shard_size: str) -> Written:
    from burnish.models import export as models

    kind: Any = dtype
    source = models.load_source(folder, dtype=kind, template=_template(known))
    checks = models.write_copy(source, aside, shard_size=shard_size)
    if models.stored_otherwise(folder, source.dtype):
        checks["lost_by_rounding"] = models.lost_by_rounding(folder, source)
    subject = Subject(
        name=name,
        kind=source.kind,
        format="hf",
        dtype=source.dtype,
        parameters=models.parameters(source.model),
        config=json_object(aside / "config.json"),
        files={p.name: file_hash(p) for p in sorted(aside.glob("*.safetensors"))},
        **_spoken(source),
    )
    return Written(subject, checks)


def _spoken(source: Any) -> dict[str, Any]:
    """How a model is spoken to, and how its answers end; nothing of a reward model."""
    template = source.template
    if template is None:
        return {}
    ends = [str(source.tokenizer.convert_ids_to_tokens(token)) for token in sorted(template.end_tokens)]
    return {"template": template.name, "ends": tuple(ends)}


def _gguf(folder: Path, aside: Path, known: Lineage, *, dtype: str | None, name: str, shard_size: str) -> Written:
    from burnish.models import export as models
    from burnish.models.gguf import Kind, family_of, library, rows_of, window_note, write_gguf
    from burnish.models.gguf_check import check_gguf
    from burnish.models.gguf_vocab import vocabulary

    if is_scorer(json_object(folder / "config.json")):
        raise ConfigError(
            f"{folder}: a reward model, and GGUF has no score head that its readers know; export it with --format hf"
        )
    library()
    source = models.load_source(folder, dtype="float32", template=_template(known))
    models.give_template_and_ends(source)
    config = source.model.config
    family_of(config)  # before the weights are gone through
    words = vocabulary(source.tokenizer, rows_of(source.model))
    kind: Kind = dtype  # type: ignore[assignment]  # one of KINDS: `_dtype` looked
    file = aside / f"{name}-{kind.upper()}.gguf"
    parameters = models.parameters(source.model)
    about = _about(name, known, parameters)
    checks = write_gguf(source.model, words, models.special_ids(source), about, file, kind)
    checks |= check_gguf(file, source.model, source.tokenizer, kind)
    subject = Subject(
        name=name,
        kind="policy",
        format="gguf",
        dtype=kind,
        parameters=parameters,
        config=config.to_dict(),
        files={file.name: file_hash(file)},
        notes=(*words.notes, *window_note(config)),
        **_spoken(source),
    )
    return Written(subject, checks)


def _about(name: str, known: Lineage, parameters: int) -> dict[str, Any]:
    """What a GGUF file says of itself, as far as the run's folder knows it."""
    from burnish.models.gguf import library

    stage, base = known.stage, known.base
    about: dict[str, Any] = {
        "general.name": name,
        "general.size_label": library().size_label(parameters, parameters, 0, 0),
        "general.tags": ["burnish", *dict.fromkeys(step.method for step in known.steps)],
        "burnish.version": version("burnish"),
    }
    if stage is not None:
        about["general.finetune"] = stage.method
        about["general.description"] = f"Trained with burnish by {stage.method}; the card beside it says from what."
    if known.licence:
        about["general.license"] = known.licence
    if base is not None:
        about |= {"general.base_model.count": 1, "general.base_model.0.name": base.name}
        if base.hub:
            about["general.base_model.0.repo_url"] = f"https://huggingface.co/{base.name}"
            about["general.base_model.0.version"] = base.revision
    return about
