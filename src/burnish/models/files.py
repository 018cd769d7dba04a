"""What a model directory must hold before anything of it is loaded: safetensors only, no code of its own."""

import json
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from huggingface_hub import snapshot_download

from burnish.errors import ConfigError, DataError, MissingInput

_PARTS_OF_A_MODEL = ["*.json", "*.safetensors", "*.model", "*.txt", "*.jinja"]
PICKLES = (".bin", ".pt", ".pth", ".pkl", ".ckpt")
_LARGEST_HEADER = 100 * 1024 * 1024  # what the format allows


def model_directory(path: str | Path) -> Path:
    """The directory itself, or the local copy of a hub id, downloaded where there is none.

    A copy that is whole is taken as it is, so that a run that goes on has the commit that it began with; `hf download`
    brings a newer one. Only what a model consists of is downloaded, so the copy is checked as any other directory.
    Raises MissingInput, and what `check_model_directory` does.
    """
    if Path(path).exists():
        return Path(path)
    if str(path).startswith((".", "/", "~")) or str(path).count("/") != 1:
        raise MissingInput(f"{path}: no such model directory (looked from {Path.cwd()})")
    if (there := whole_copy(str(path))) is not None:
        return there
    try:
        return Path(snapshot_download(str(path), allow_patterns=_PARTS_OF_A_MODEL))
    except (OSError, ValueError) as error:
        raise MissingInput(
            f"{path}: neither a directory nor a model in the local hub cache, and the hub could not be reached: "
            f"{str(error).splitlines()[0].rstrip('.')}. Download it beforehand: hf download {path} --local-dir DIR"
        ) from error


def whole_copy(hub_id: str) -> Path | None:
    """The copy of a hub model in the cache; None where it is not there, or was not downloaded whole."""
    try:
        found = Path(snapshot_download(hub_id, allow_patterns=_PARTS_OF_A_MODEL, local_files_only=True))
        check_model_directory(found)
    except (OSError, ValueError, MissingInput):
        return None
    return found


def is_reward_model(path: Path) -> bool:
    """Whether a folder says that it holds a reward model; what is no folder is taken for a language model."""
    file = path / "config.json"
    return file.is_file() and is_scorer(json_object(file))


def check_model_directory(path: Path, *, weights: bool = True) -> dict[str, Any]:
    """Return the config of a model directory that can be loaded safely. `weights` off: one to start from scratch.

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
    tensors = [p for p in sorted(path.glob("*.safetensors")) if not p.name.startswith("adapter")]
    pickles = [name for name in found if name.endswith(PICKLES)]
    if "adapter_config.json" in found:
        # transformers would load the base model that this file names, from wherever it says, in place of what is here
        raise ConfigError(
            f"{path}: a LoRA adapter (adapter_config.json), not a model; take the merged `model/` folder beside it"
        )
    if weights and not tensors and pickles:
        raise ConfigError(
            f"{path}: weights only as pickle ({', '.join(pickles[:3])}), which can run code when loaded. Convert them "
            "in a container without network: AutoModelForCausalLM.from_pretrained(PATH).save_pretrained(OUT)"
        )
    if weights and not tensors:
        missing.append("model.safetensors")
    if missing:
        raise MissingInput(
            f"{path}: not a model directory: {', '.join(missing)} missing; found {', '.join(found[:8]) or 'nothing'}"
        )
    config = json_object(path / "config.json")
    for name in ("config.json", "tokenizer_config.json", "generation_config.json"):
        if name in found and _wants_code(json_object(path / name)):
            raise ConfigError(
                f"{path / name}: `auto_map` asks to run Python code from the model's directory. burnish never does; "
                "use a model that transformers defines itself, or remove `auto_map` if it is a leftover."
            )
    if weights:
        for file in tensors:
            check_safetensors(file)
        _shards_are_there(path)
    return config


def json_object(path: Path) -> dict[str, Any]:
    """A JSON file's object."""
    if (size := path.stat().st_size) > _LARGEST_HEADER:
        raise DataError(f"{path}: {size} bytes are no such file; at most {_LARGEST_HEADER} are read")
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path}: not JSON: {error}") from error
    if not isinstance(value, dict):
        raise DataError(f"{path}: a JSON object is expected, this is a {type(value).__name__}")
    return value


def is_scorer(config: Mapping[str, Any]) -> bool:
    """Does a model's config say that it is a reward model?"""
    return any("SequenceClassification" in str(kind) for kind in config.get("architectures") or [])


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
            offsets = [v["data_offsets"] for k, v in header.items() if k != "__metadata__"]
            spans = sorted((int(start), int(stop)) for start, stop in offsets)
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError, OverflowError) as error:
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
    weight_map = json_object(index).get("weight_map")
    if not isinstance(weight_map, dict) or not all(isinstance(name, str) for name in weight_map.values()):
        raise DataError(f"{index}: `weight_map` must say for each tensor which file it is in")
    wanted = set(weight_map.values())
    outside = sorted(name for name in wanted if Path(name).name != name)
    if outside:
        raise DataError(f"{index}: it names a file outside the model's directory: {outside[0]!r}")
    missing = sorted(name for name in wanted if not (path / name).exists())
    if missing:
        raise MissingInput(f"{path}: {len(missing)} of {len(wanted)} weight files missing: {', '.join(missing[:5])}")


def _wants_code(config: Any) -> bool:
    if isinstance(config, dict):
        return "auto_map" in config or any(_wants_code(v) for v in config.values())
    return isinstance(config, list) and any(_wants_code(v) for v in config)
