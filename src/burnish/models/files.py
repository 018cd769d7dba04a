"""What a model directory must hold before anything of it is loaded: safetensors only, no code of its own."""

import json
import struct
from pathlib import Path
from typing import Any

from burnish.errors import ConfigError, DataError, MissingInput

_LARGEST_HEADER = 100 * 1024 * 1024  # what the format allows


def check_model_directory(path: Path) -> dict[str, Any]:
    """Return the config of a model directory that can be loaded safely.

    Raises MissingInput naming the files that are not there, ConfigError for code or pickles, DataError for weights
    that are cut or damaged.
    """
    if not path.is_dir():
        raise MissingInput(
            f"{path}: a model is a directory with config.json, safetensors and a tokenizer; this is a file"
        )
    found = sorted(p.name for p in path.iterdir())
    missing = [name for name in ("config.json",) if name not in found]
    if not any(name in found for name in ("tokenizer.json", "tokenizer.model", "vocab.json")):
        missing.append("tokenizer.json (or tokenizer.model, vocab.json)")
    weights = [p for p in sorted(path.glob("*.safetensors")) if not p.name.startswith("adapter")]
    pickles = [name for name in found if name.endswith((".bin", ".pt", ".pth", ".pkl", ".ckpt"))]
    if "adapter_config.json" in found and not weights:
        raise ConfigError(f"{path}: this is a LoRA adapter, not a model; take the merged `model/` folder beside it")
    if not weights and pickles:
        raise ConfigError(
            f"{path}: weights only as pickle ({', '.join(pickles[:3])}), which can run code when loaded. Convert them "
            "in a container without network: AutoModelForCausalLM.from_pretrained(PATH).save_pretrained(OUT)"
        )
    if not weights:
        missing.append("model.safetensors")
    if missing:
        raise MissingInput(
            f"{path}: not a model directory: {', '.join(missing)} missing; found {', '.join(found[:8]) or 'nothing'}"
        )
    try:
        config: dict[str, Any] = json.loads((path / "config.json").read_text(encoding="utf-8"))
    except ValueError as error:
        raise DataError(f"{path / 'config.json'}: not JSON: {error}") from error
    if _wants_code(config):
        raise ConfigError(
            f"{path / 'config.json'}: `auto_map` asks to run Python code from the model's directory. burnish never "
            "does; use a model that transformers defines itself, or remove `auto_map` if it is a leftover."
        )
    for file in weights:
        check_safetensors(file)
    _shards_are_there(path)
    return config


def check_safetensors(path: Path) -> None:
    """Raise DataError unless the header is sane and its offsets tile the rest of the file."""
    size = path.stat().st_size
    with path.open("rb") as file:
        head = file.read(8)
        if len(head) < 8:
            raise DataError(f"{path}: corrupt safetensors: {size} bytes, too short for a header")
        (length,) = struct.unpack("<Q", head)
        if length > min(_LARGEST_HEADER, size - 8):
            raise DataError(f"{path}: corrupt safetensors: its header claims {length} bytes, the file has {size}")
        try:
            header = json.loads(file.read(length))
            spans = sorted(tuple(v["data_offsets"]) for k, v in header.items() if k != "__metadata__")
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise DataError(f"{path}: corrupt safetensors: unreadable header ({error})") from error
    end = 0
    for start, stop in spans:
        if start != end or stop < start:
            raise DataError(f"{path}: corrupt safetensors: tensors overlap or leave a gap at byte {start}")
        end = stop
    if end + 8 + length != size:
        raise DataError(
            f"{path}: corrupt safetensors: cut or too long: {size} bytes, its header says {end + 8 + length}"
        )


def _shards_are_there(path: Path) -> None:
    index = path / "model.safetensors.index.json"
    if not index.exists():
        return
    wanted = set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values())
    missing = sorted(name for name in wanted if not (path / name).exists())
    if missing:
        raise MissingInput(f"{path}: {len(missing)} of {len(wanted)} weight files missing: {', '.join(missing[:5])}")


def _wants_code(config: Any) -> bool:
    if isinstance(config, dict):
        return "auto_map" in config or any(_wants_code(v) for v in config.values())
    return isinstance(config, list) and any(_wants_code(v) for v in config)
