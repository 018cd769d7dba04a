"""What llama.cpp itself makes of a GGUF file: the tokens of hard texts, and the answer that follows greedily.

It needs a build of llama.cpp in Python: `pip install xllamacpp` (34 MB, no compiler). Without it this is skipped.
"""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import pytest
import torch
from models.test_gguf import CHANGES, LLAMA3, ROWS, written
from tiny import bpe_tokenizer, spm_tokenizer, tiny_llama
from transformers import PreTrainedModel, PreTrainedTokenizerFast

from burnish.models.copies import TEXTS
from burnish.models.gguf_vocab import PRE

llama = pytest.importorskip("xllamacpp", reason="no llama.cpp for Python: pip install xllamacpp")
STEPS = 12


@contextmanager
def served(path: Path) -> Iterator[Callable[[str, dict[str, Any]], dict[str, Any]]]:
    """llama.cpp with the file, as a function from an endpoint and what it is asked to what it says."""
    params = llama.CommonParams()
    params.model.path = str(path)
    params.n_ctx, params.n_parallel, params.warmup = 256, 1, False
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = 1
    server = llama.Server(params)

    def ask(endpoint: str, what: dict[str, Any]) -> dict[str, Any]:
        where = HTTPConnection(server.listening_address.removeprefix("http://"), timeout=60)
        where.request("POST", f"/{endpoint}", json.dumps(what), {"Content-Type": "application/json"})
        try:
            return dict(json.load(where.getresponse()))
        finally:
            where.close()

    yield ask


def greedy(model: PreTrainedModel, prompt: list[int]) -> list[int]:
    ids = list(prompt)
    with torch.no_grad():
        for _ in range(STEPS):
            ids.append(int(model(torch.tensor([ids])).logits[0, -1].argmax()))
    return ids[len(prompt) :]


@pytest.mark.parametrize(
    "name", ["llama", "llama3 rope", "mistral", "qwen2", "qwen3", "gemma2", "gemma3", "gpt2", "phi3", "starcoder2"]
)
def test_llama_cpp_goes_on_as_the_model_does(name: str, build: Callable[..., PreTrainedModel], tmp_path: Path):
    tokenizer = bpe_tokenizer()
    changes = CHANGES.get(name, {}) | {"vocab_size": ROWS, "initializer_range": 0.2}
    if name == "llama3 rope":
        model: PreTrainedModel = tiny_llama(rope_parameters=LLAMA3, **changes).eval()
    else:
        model = build(name, **changes)
    prompt = tokenizer(TEXTS[0]).input_ids[:40]
    with served(written(model, tokenizer, tmp_path / "model.gguf")) as ask:
        asked = {"prompt": prompt, "n_predict": STEPS, "temperature": 0, "return_tokens": True, "ignore_eos": True}
        assert ask("completion", asked)["tokens"] == greedy(model, prompt)


def words_of(kind: str) -> PreTrainedTokenizerFast:
    return spm_tokenizer() if kind == "sentencepiece" else bpe_tokenizer(kind)


@pytest.mark.parametrize("kind", [*PRE, "sentencepiece"])
def test_llama_cpp_takes_texts_apart_as_the_tokenizer_does(kind: str, tmp_path: Path):
    tokenizer, model = words_of(kind), tiny_llama(vocab_size=ROWS).eval()
    # it puts its space before every text, and transformers before the first, if it has none: Vocabulary.notes tells so
    texts = [t for t in TEXTS if kind != "sentencepiece" or not (t.startswith(" ") or "</s>" in t)]
    with served(written(model, tokenizer, tmp_path / "model.gguf")) as ask:
        for text in texts:
            said = ask("tokenize", {"content": text, "add_special": True, "parse_special": True})["tokens"]
            assert said == tokenizer(text).input_ids, text
