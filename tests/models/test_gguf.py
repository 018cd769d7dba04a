"""A GGUF file is the model: every family that is claimed is read back by transformers, tensor, token and output."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import pytest
import torch
from tiny import bpe_tokenizer, spm_tokenizer, tiny_llama
from tokenizers import Tokenizer
from transformers import PreTrainedModel, PreTrainedTokenizerFast

from burnish.errors import ConfigError, DataError
from burnish.models.gguf import FAMILIES, KINDS, Kind, family_of, llama3_factors, write_gguf
from burnish.models.gguf_check import check_gguf
from burnish.models.gguf_vocab import BYTE, CONTROL, PRE, UNUSED, USER_DEFINED, vocabulary

LLAMA3 = {
    "rope_type": "llama3",
    "rope_theta": 10000.0,
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 64,
}
CHANGES: dict[str, dict[str, Any]] = {
    "llama": {"attention_bias": True},
    "qwen2": {"use_sliding_window": False, "sliding_window": None, "layer_types": ["full_attention"] * 4},
    "gemma2": {"query_pre_attn_scalar": 8},
    "gemma3": {"query_pre_attn_scalar": 8, "num_hidden_layers": 6},
}
ROWS = 512


def special(tokenizer: PreTrainedTokenizerFast) -> dict[str, Any]:
    ids = {name: getattr(tokenizer, f"{name}_token_id") for name in ("bos", "eos", "unk", "pad")}
    return {**ids, "add_bos": tokenizer("").input_ids[:1] == [tokenizer.bos_token_id], "add_eos": False}


def written(model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast, path: Path, kind: Kind = "f32") -> Path:
    words = vocabulary(tokenizer, model.get_input_embeddings().weight.shape[0])
    write_gguf(model, words, special(tokenizer), {"general.name": "tiny"}, path, kind)
    return path


def fields(path: Path) -> dict[str, Any]:
    return {name: field.contents() for name, field in gguf.GGUFReader(path).fields.items()}


def tensor(path: Path, name: str) -> np.ndarray:
    return next(np.array(t.data) for t in gguf.GGUFReader(path).tensors if t.name == name)


@pytest.fixture(scope="module")
def words() -> PreTrainedTokenizerFast:
    return bpe_tokenizer()


@pytest.mark.parametrize(
    "name", ["llama", "mistral", "qwen2", "qwen3", "gemma2", "gemma3", "gpt2", "phi3", "starcoder2"]
)
def test_every_family_reads_back_as_the_same_model(
    name: str, build: Callable[..., PreTrainedModel], words: PreTrainedTokenizerFast, tmp_path: Path
):
    model = build(name, vocab_size=ROWS, **CHANGES.get(name, {}))
    told = check_gguf(written(model, words, tmp_path / "model.gguf"), model, words, "f32")
    assert told["largest_difference"] <= 1e-5
    assert told["tokens"] > 500


def test_the_families_are_those_that_are_tried():
    assert set(FAMILIES) == {
        "llama", "mistral", "qwen2", "qwen3", "gemma2", "gemma3_text", "gpt2", "phi3", "starcoder2"
    }  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
def test_a_coarser_type_loses_no_more_than_its_step(kind: Kind, words: PreTrainedTokenizerFast, tmp_path: Path):
    model = tiny_llama(vocab_size=ROWS).eval()
    told = check_gguf(written(model, words, tmp_path / "model.gguf", kind), model, words, kind)
    assert (told["largest_difference"] == 0) == (kind == "f32")
    assert told["largest_difference"] < 0.5


def test_rows_that_q8_0_cannot_cut_into_blocks_stay_in_16_bits(words: PreTrainedTokenizerFast, tmp_path: Path):
    model = tiny_llama(vocab_size=ROWS, hidden_size=48, num_attention_heads=4, intermediate_size=64).eval()
    path = written(model, words, tmp_path / "model.gguf", "q8_0")
    kinds = {t.name: t.tensor_type.name for t in gguf.GGUFReader(path).tensors}
    wanted = {"token_embd.weight": "F16", "blk.0.ffn_down.weight": "Q8_0", "output_norm.weight": "F32"}
    assert {name: kinds[name] for name in wanted} == wanted
    check_gguf(path, model, words, "q8_0")


def test_a_tensor_that_was_changed_is_found(words: PreTrainedTokenizerFast, tmp_path: Path):
    model = tiny_llama(vocab_size=ROWS).eval()
    path = written(model, words, tmp_path / "model.gguf")
    with torch.no_grad():
        model.model.layers[1].self_attn.k_proj.weight[3, 5] += 1e-3
    with pytest.raises(DataError, match=r"layers\.1\.self_attn\.k_proj\.weight is not as it was: off by up to 0\.001"):
        check_gguf(path, model, words, "f32")


def test_a_piece_that_was_changed_is_found(words: PreTrainedTokenizerFast, tmp_path: Path):
    model = tiny_llama(vocab_size=ROWS).eval()
    path = written(model, words, tmp_path / "model.gguf")
    piece = next(p for p in words.get_vocab() if len(p) == 2 and p.isascii() and p.isalpha()).encode()
    data = bytearray(path.read_bytes())
    at = data.index(b"\x02" + bytes(7) + piece) + 8  # behind its length
    data[at : at + 2] = b"qj"
    path.write_bytes(data)
    with pytest.raises(DataError):
        check_gguf(path, model, words, "f32")


def test_llamas_heads_lie_as_ggml_turns_them(words: PreTrainedTokenizerFast, tmp_path: Path):
    model = tiny_llama(vocab_size=ROWS).eval()
    path = written(model, words, tmp_path / "model.gguf")
    ours, theirs = model.model.layers[0].self_attn.q_proj.weight.detach().numpy(), tensor(path, "blk.0.attn_q.weight")
    assert np.array_equal(theirs[:8], ours[[0, 4, 1, 5, 2, 6, 3, 7]])  # a head of 8: its halves, in turn


def test_tied_weights_are_written_once(words: PreTrainedTokenizerFast, tmp_path: Path):
    tied = tiny_llama(vocab_size=ROWS, tie_word_embeddings=True).eval()
    path = written(tied, words, tmp_path / "model.gguf")
    assert "output.weight" not in {t.name for t in gguf.GGUFReader(path).tensors}
    check_gguf(path, tied, words, "f32")


def test_llama_3s_rotary_embedding_stands_in_the_file(words: PreTrainedTokenizerFast, tmp_path: Path):
    model = tiny_llama(vocab_size=ROWS, rope_parameters=LLAMA3).eval()
    path = written(model, words, tmp_path / "model.gguf")
    plain = 1 / 10000.0 ** (np.arange(0, 8, 2) / 8)
    scaled = model.model.rotary_emb.inv_freq.numpy()
    assert np.allclose(plain / tensor(path, "rope_freqs.weight"), scaled, rtol=1e-6)
    assert check_gguf(path, model, words, "f32")["given_to_the_reader"] == ["rope_parameters"]


def test_short_waves_are_left_alone_and_long_ones_stretched():
    factors = llama3_factors(LLAMA3, 64)
    assert factors[0] == 1
    assert factors[-1] == 8
    assert (np.diff(factors) >= 0).all()


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"hidden_act": "gelu"}, "its activation is gelu, and llama has silu"),
        (
            {"rope_parameters": {"rope_type": "dynamic", "factor": 2.0, "rope_theta": 1e4}},
            "its rotary embedding is dynamic, and default, linear, llama3 can be written",
        ),
    ],
)
def test_what_a_file_cannot_say_is_refused_by_name(changes: dict[str, Any], said: str):
    with pytest.raises(ConfigError, match=said):
        family_of(tiny_llama(**changes).config)


def test_another_architecture_is_refused_with_the_list(build: Callable[..., PreTrainedModel]):
    with pytest.raises(ConfigError, match="olmo2 models cannot be written; there is llama, mistral, qwen2"):
        family_of(build("olmo2").config)


def test_a_window_that_llama_cpp_does_not_keep_is_refused(build: Callable[..., PreTrainedModel]):
    with pytest.raises(ConfigError, match="some layers have a sliding window"):
        family_of(build("qwen2").config)


# ---- words


def test_each_piece_has_its_kind(words: PreTrainedTokenizerFast):
    made = vocabulary(words, ROWS)
    assert made.model == "gpt2"
    assert made.kinds[words.eos_token_id] == CONTROL
    assert made.kinds[words.get_vocab()["<think>"]] == USER_DEFINED
    assert made.kinds[-1] == UNUSED
    assert made.tokens[-1] == f"[PAD{ROWS - 1}]"
    assert len(made.tokens) == ROWS


@pytest.mark.parametrize("pre", PRE)
def test_a_rule_for_cutting_text_is_known_by_its_steps(pre: str, tmp_path: Path):
    tokenizer = bpe_tokenizer(pre)
    model = tiny_llama(vocab_size=ROWS).eval()
    path = written(model, tokenizer, tmp_path / "model.gguf")
    assert fields(path)["tokenizer.ggml.pre"] == pre
    check_gguf(path, model, tokenizer, "f32")


def test_a_piece_that_merges_never_make_is_refused_where_llama_cpp_takes_words_whole():
    said = json.loads(bpe_tokenizer("llama-bpe").backend_tokenizer.to_str())
    said["model"]["ignore_merges"] = False
    reached = PreTrainedTokenizerFast(tokenizer_object=Tokenizer.from_str(json.dumps(said)))
    assert vocabulary(reached, ROWS).pre == "llama-bpe"
    lost = "".join(said["model"]["merges"].pop())
    out_of_reach = PreTrainedTokenizerFast(tokenizer_object=Tokenizer.from_str(json.dumps(said)))
    with pytest.raises(ConfigError, match=re.escape(f"takes {lost!r} whole")):
        vocabulary(out_of_reach, ROWS)


def test_a_rule_that_llama_cpp_does_not_know_is_refused():
    tokenizer = bpe_tokenizer()
    said = json.loads(tokenizer.backend_tokenizer.to_str())
    said["pre_tokenizer"] = {"type": "Digits", "individual_digits": False}
    odd = PreTrainedTokenizerFast(tokenizer_object=type(tokenizer.backend_tokenizer).from_str(json.dumps(said)))
    with pytest.raises(ConfigError, match=r"cuts text up by rules that llama\.cpp has no name for: digits in runs"):
        vocabulary(odd, ROWS)


def test_pieces_with_bytes_to_fall_back_on_have_scores(tmp_path: Path):
    tokenizer = spm_tokenizer()
    made = vocabulary(tokenizer, ROWS)
    assert (made.model, made.space_prefix, made.merges) == ("llama", True, ())
    assert made.kinds[tokenizer.get_vocab()["<0x0A>"]] == BYTE
    model = tiny_llama(vocab_size=ROWS).eval()
    check_gguf(written(model, tokenizer, tmp_path / "model.gguf"), model, tokenizer, "f32")


def test_merges_that_scores_cannot_say_are_refused():
    tokenizer = spm_tokenizer()
    said = json.loads(tokenizer.backend_tokenizer.to_str())
    del said["model"]["merges"][0]  # a piece that nothing makes any more
    odd = PreTrainedTokenizerFast(tokenizer_object=type(tokenizer.backend_tokenizer).from_str(json.dumps(said)))
    with pytest.raises(ConfigError, match="no merge makes it"):
        vocabulary(odd, ROWS)
