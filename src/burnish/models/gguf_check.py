"""Is a GGUF file the model? Read back by transformers, tensor by tensor, token by token, and by what it says.

transformers' reader does not take every setting from a file; those that it leaves out (Family.unread, a scaled rotary
embedding) are given to it, and which they were is told. The rule by which text is cut up is given to it too where it
does not know llama.cpp's name of it.
"""

import contextlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer
from torch import Tensor
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoTokenizer,
    PreTrainedModel,
    PreTrainedTokenizerBase,
    PreTrainedTokenizerFast,
)

from burnish.errors import DataError
from burnish.models.copies import LONGEST, difference, outputs, read_rows, require_same, require_same_tokens
from burnish.models.gguf import FAMILIES, Kind, rope_of, rows_of
from burnish.models.load import naming

_LOST: Mapping[Kind, float] = {"f32": 2.0**-23, "f16": 2.0**-11, "bf16": 2.0**-8, "q8_0": 1 / 200}
"""The largest error of a number, as a share of its tensor's largest: half a step of the type. In q8_0 a step is 1/127
of the largest of 32 numbers, in a scale that is itself rounded to 11 bits; of float32 it is what 1 + weight loses in
gemma's norms."""


def check_gguf(path: Path, model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, kind: Kind) -> dict[str, Any]:
    """Read `path` and hold it against the model in float32 that it was written from. Returns what was found.

    Raises DataError where a tensor, the tokens or, of a file in float32, the outputs differ by more than rounding.
    """
    loader: Any = AutoModelForCausalLM  # typed as giving the model alone
    with naming(path), open(os.devnull, "w", encoding="utf-8") as nowhere, contextlib.redirect_stderr(nowhere):
        config = AutoConfig.from_pretrained(path.parent, gguf_file=path.name, trust_remote_code=False)
        given = _given(config, model)
        read, told = loader.from_pretrained(
            path.parent,
            gguf_file=path.name,
            config=config,
            dtype=torch.float32,
            output_loading_info=True,
            trust_remote_code=False,
        )
        words = AutoTokenizer.from_pretrained(path.parent, gguf_file=path.name, trust_remote_code=False)
    if absent := [name for name in told["missing_keys"] if name != "lm_head.weight"]:
        raise DataError(f"{path}: transformers finds no {', '.join(sorted(absent)[:3])} in it ({len(absent)} missing)")
    _require_tensors(path, read.state_dict(), model.state_dict(), kind)
    tokens = require_same_tokens(_as_written(words, tokenizer, rows_of(model)), tokenizer, str(path))
    said = read_rows(tokenizer)
    longest = _longest(read.config, model.config)
    ours, theirs = outputs(read.eval(), said, longest), outputs(model, said, longest)
    gap = require_same(ours, theirs, str(path)) if kind == "f32" else difference(ours, theirs)
    return {"tokens": tokens, "largest_difference": gap, "given_to_the_reader": given}


def _given(config: Any, model: PreTrainedModel) -> list[str]:
    """Settings of the source that the reader left at a default, set in `config`. Raises DataError for a wrong one."""
    source = model.config
    rope, theirs = rope_of(source), rope_of(config)
    names = list(FAMILIES[source.model_type].unread)
    if rope and rope["rope_type"] != "default":
        names.append("rope_parameters")
    elif rope and "rope_parameters" not in names and rope["rope_theta"] != theirs.get("rope_theta"):
        raise DataError(f"rope_theta was read as {theirs.get('rope_theta')}, and is {rope['rope_theta']}")
    changed = []
    for name in dict.fromkeys(names):
        value = getattr(source, name, None)
        if getattr(config, name, None) != value:
            setattr(config, name, value)
            changed.append(name)
    return changed


def _longest(read: Any, source: Any) -> int:
    """Tokens that a row may have: mistral's are read as llama's, which look back without a window."""
    window = getattr(source, "sliding_window", None)
    return min(LONGEST, window) if window and not getattr(read, "sliding_window", None) else LONGEST


def _require_tensors(path: Path, read: Mapping[str, Tensor], wanted: Mapping[str, Tensor], kind: Kind) -> None:
    for name, value in wanted.items():
        value = value.float()
        found = read.get(name)
        allowed = _LOST[kind] * max(float(value.abs().max()), 1.0 if "norm" in name else 0.0)
        gap = float((found - value).abs().max()) if found is not None and found.shape == value.shape else float("inf")
        if not gap <= allowed:
            raise DataError(
                f"{path}: {name} is not as it was: off by up to {gap:.3g}, and {allowed:.3g} is what {kind} loses. "
                "Nothing was left behind"
            )


def _as_written(words: PreTrainedTokenizerBase, source: PreTrainedTokenizerBase, rows: int) -> PreTrainedTokenizerBase:
    """The tokenizer that was read, cutting text up by the source's rules: llama.cpp has them by name.

    What the reader's class adds of its own (GPT-2's adds an end of text to whoever has none) lies beyond the rows.
    """
    said, theirs = (json.loads(one.backend_tokenizer.to_str()) for one in (words, source))
    said["normalizer"], said["pre_tokenizer"] = theirs["normalizer"], theirs["pre_tokenizer"]
    said["model"]["ignore_merges"] = theirs["model"].get("ignore_merges", False)
    said["added_tokens"] = [token for token in said["added_tokens"] if token["id"] < rows]
    return PreTrainedTokenizerFast(tokenizer_object=Tokenizer.from_str(json.dumps(said)))
