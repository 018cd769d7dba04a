"""A tokenizer as GGUF has it: pieces with their kinds, merges or scores, and the name of the rule that cuts text up.

Two kinds are written. `gpt2` is byte-level BPE: its merges stand in the file, and `pre` names one of the rules for
cutting text that llama.cpp has built in. `llama` is BPE over characters with bytes to fall back on, as SentencePiece
makes it: the file has no merges but a score a piece, and whatever makes the best piece is put together first.

Reading is left to others; models/gguf_check.py holds what they read against the tokenizer that came in.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from transformers import PreTrainedTokenizerBase

from burnish.data.encoding import Encoder
from burnish.errors import ConfigError

NORMAL, UNKNOWN, CONTROL, USER_DEFINED, UNUSED, BYTE = 1, 2, 3, 4, 5, 6  # ggml's numbers
SPACE = "\u2581"

_CONTRACTIONS = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)"
_SPACES = r"\s*[\r\n]+|\s+(?!\S)|\s+"
_CASED = (
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+{0}"
    r"|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*{0}"
)
_WORDS = ("words", "as GPT-2's")  # the rule that a ByteLevel step brings itself
_LLAMA3 = rf"{_CONTRACTIONS}|[^\r\n\p{{L}}\p{{N}}]?\p{{L}}+|\p{{N}}{{1,3}}| ?[^\s\p{{L}}\p{{N}}]+[\r\n]*|{_SPACES}"
_QWEN2 = rf"{_CONTRACTIONS}|[^\r\n\p{{L}}\p{{N}}]?\p{{L}}+|\p{{N}}| ?[^\s\p{{L}}\p{{N}}]+[\r\n]*|{_SPACES}"
_TEKKEN = _CASED.replace("{0}", "") + rf"|\p{{N}}| ?[^\s\p{{L}}\p{{N}}]+[\r\n/]*|{_SPACES}"
_GPT4O = _CASED.replace("{0}", f"{_CONTRACTIONS}?") + rf"|\p{{N}}{{1,3}}| ?[^\s\p{{L}}\p{{N}}]+[\r\n/]*|{_SPACES}"

PRE: Mapping[str, tuple[tuple[tuple[str, str], ...], bool]] = {
    "gpt-2": ((_WORDS,), False),
    "smollm": ((("digits", "one by one"), _WORDS), False),
    "llama-bpe": ((("split", _LLAMA3),), True),
    "qwen2": ((("split", _QWEN2),), False),
    "tekken": ((("split", _TEKKEN),), True),
    "gpt-4o": ((("split", _GPT4O),), False),
}
"""llama.cpp's name of a rule → its steps, and whether a word that is a piece is taken whole, whatever merges say."""


@dataclass(frozen=True)
class Vocabulary:
    """What stands under `tokenizer.ggml.`; `notes` says what a reader of the file will do otherwise."""

    model: str
    pre: str
    tokens: tuple[str, ...]
    kinds: tuple[int, ...]
    scores: tuple[float, ...] = ()
    merges: tuple[str, ...] = ()
    space_prefix: bool | None = None
    notes: tuple[str, ...] = ()


def vocabulary(tokenizer: PreTrainedTokenizerBase, rows: int) -> Vocabulary:
    """The tokenizer of a model whose embedding has `rows` rows. Raises ConfigError for one that GGUF cannot say."""
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if backend is None:
        raise _refused("it has no tokenizer.json")
    said = json.loads(backend.to_str())
    model = said["model"]
    if model["type"] != "BPE":
        raise _refused(f"it is of kind {model['type']}")
    odd = [key for key in ("continuing_subword_prefix", "end_of_word_suffix", "dropout") if model.get(key)]
    if odd:
        raise _refused(f"its BPE has {', '.join(odd)}")
    merges = [tuple(merge.split(" ", 1)) if isinstance(merge, str) else tuple(merge) for merge in model["merges"]]
    if not merges:
        raise _refused("it has no merges")
    tokens, kinds = _pieces(tokenizer, rows)
    if model.get("byte_fallback"):
        return _with_scores(said, tokens, kinds, merges, tokenizer.unk_token)
    notes = _normaliser_notes(said["normalizer"])
    ignores = bool(model.get("ignore_merges"))
    pre = _pre(said["pre_tokenizer"], ignores)
    if PRE[pre][1] and not ignores:
        _refuse_out_of_reach(tokens, kinds, backend, pre)
    return Vocabulary("gpt2", pre, tokens, kinds, merges=tuple(" ".join(pair) for pair in merges), notes=notes)


def _refused(what: str) -> ConfigError:
    return ConfigError(
        f"GGUF: this tokenizer cannot be written: {what}. There is byte-level BPE cut up as {', '.join(PRE)}, and BPE "
        "with bytes to fall back on (SentencePiece); export --format hf writes any"
    )


def _pieces(tokenizer: PreTrainedTokenizerBase, rows: int) -> tuple[tuple[str, ...], tuple[int, ...]]:
    """Every id's piece and its kind. Ids without a piece are rows that the embedding has beyond the tokenizer."""
    by_id = {index: token for token, index in tokenizer.get_vocab().items()}
    added = {index: token.content for index, token in tokenizer.added_tokens_decoder.items()}
    special = Encoder(tokenizer).special
    tokens, kinds = [], []
    for index in range(rows):
        if index in added:
            tokens.append(added[index])
            kinds.append(CONTROL if added[index] in special else USER_DEFINED)
        else:
            tokens.append(by_id.get(index, f"[PAD{index}]"))
            kinds.append(NORMAL if index in by_id else UNUSED)
    return tuple(tokens), tuple(kinds)


# ---- byte-level


def _pre(pre_tokenizer: Mapping[str, Any] | None, ignores_merges: bool) -> str:
    steps = tuple(step for part in _parts(pre_tokenizer, "pretokenizers") for step in _steps(part))
    for name, (known, whole) in PRE.items():
        if steps == known and (whole or not ignores_merges):
            return name
    told = "; ".join(f"{kind} {what[:60]}" for kind, what in steps) or "nothing"
    raise _refused(f"it cuts text up by rules that llama.cpp has no name for: {told}")


def _refuse_out_of_reach(tokens: Sequence[str], kinds: Sequence[int], backend: Any, pre: str) -> None:
    """llama.cpp takes whole each word that is a piece by this rule; so merges must make every piece of itself too."""
    for token, kind in zip(tokens, kinds, strict=True):
        if kind == NORMAL and len(backend.model.tokenize(token)) > 1:
            raise _refused(
                f"it is cut up as {pre}, by which llama.cpp takes {token!r} whole, and its merges never make that "
                "(ignore_merges: false)"
            )


def _parts(value: Mapping[str, Any] | None, key: str) -> list[Mapping[str, Any]]:
    """A step of tokenizer.json as the list of those that it consists of."""
    if value is None:
        return []
    if value["type"] == "Sequence":
        return [inner for part in value[key] for inner in _parts(part, key)]
    return [value]


def _steps(part: Mapping[str, Any]) -> list[tuple[str, str]]:
    kind = part["type"]
    if kind == "ByteLevel":
        if part.get("add_prefix_space"):
            raise _refused("it puts a space before a text (add_prefix_space)")
        return [_WORDS] if part.get("use_regex", True) else []
    if kind == "Digits":
        return [("digits", "one by one" if part.get("individual_digits") else "in runs")]
    if kind == "Split":
        pattern = part["pattern"].get("Regex", "")
        plain = part.get("behavior") == "Isolated" and not part.get("invert")
        return [("split", pattern if plain else f"{pattern} ({part.get('behavior')})")]
    return [(kind, "")]


def _normaliser_notes(normaliser: Mapping[str, Any] | None) -> tuple[str, ...]:
    kinds = [part["type"] for part in _parts(normaliser, "normalizers")]
    if kinds not in ([], ["NFC"]):
        raise _refused(f"it changes text before it cuts it up ({', '.join(kinds)})")
    if kinds:
        return ("the tokenizer brings text into NFC first and llama.cpp does not: give it text that is",)
    return ()


# ---- with scores

_PREFIX = "llama.cpp puts a space before every text, one that begins with a space and one behind a control token too"


def _with_scores(
    said: Mapping[str, Any],
    tokens: tuple[str, ...],
    kinds: tuple[int, ...],
    merges: Sequence[tuple[str, ...]],
    unknown: str | None,
) -> Vocabulary:
    kinds = tuple(
        UNKNOWN if token == unknown else BYTE if kind == NORMAL and _is_byte(token) else kind
        for token, kind in zip(tokens, kinds, strict=True)
    )
    rank = _ranks(merges)
    _refuse_other_ways(tokens, kinds, merges, rank)
    least = -float(len(rank) + 1)
    scores = tuple(
        -float(rank[token]) if token in rank else least if kind == NORMAL else 0.0
        for token, kind in zip(tokens, kinds, strict=True)
    )
    prefix = _puts_a_space(said)
    return Vocabulary(
        "llama", "default", tokens, kinds, scores, space_prefix=prefix, notes=(_PREFIX,) if prefix else ()
    )


def _is_byte(token: str) -> bool:
    return len(token) == 6 and token.startswith("<0x") and token.endswith(">")


def _ranks(merges: Sequence[tuple[str, ...]]) -> dict[str, int]:
    """Each piece that is put together → the place of its merges. Raises where other pieces' merges stand between."""
    rank: dict[str, int] = {}
    last = ""
    for pair in merges:
        piece = "".join(pair)
        if piece in rank and piece != last:
            raise _refused(f"the merges that make {piece!r} are not of one rank, which a score a piece cannot say")
        rank.setdefault(piece, len(rank))
        last = piece
    return rank


def _refuse_other_ways(
    tokens: Sequence[str], kinds: Sequence[int], merges: Sequence[tuple[str, ...]], rank: Mapping[str, int]
) -> None:
    """Scores allow whatever makes a piece, so each way of making one must be a merge."""
    known = set(merges)
    pieces = {token for token, kind in zip(tokens, kinds, strict=True) if kind == NORMAL}
    for piece in pieces:
        for at in range(1, len(piece)):
            pair = (piece[:at], piece[at:])
            if pair not in known and pair[0] in pieces and pair[1] in pieces:
                raise _refused(
                    f"{pair[0]!r} and {pair[1]!r} are pieces, so is {piece!r}, and no merge makes it of them"
                )


def _puts_a_space(said: Mapping[str, Any]) -> bool:
    """Does it put a space before the first word? Raises ConfigError where it does anything else to a text."""
    prefix = False
    for part in _parts(said["normalizer"], "normalizers"):
        if part["type"] == "Prepend" and part["prepend"] == SPACE:
            prefix = True
        elif not (part["type"] == "Replace" and part["content"] == SPACE and part["pattern"] == {"String": " "}):
            raise _refused(f"it changes text before it cuts it up ({part['type']})")
    for part in _parts(said["pre_tokenizer"], "pretokenizers"):
        if part["type"] == "Metaspace" and part["replacement"] == SPACE:
            prefix = prefix or part["prepend_scheme"] != "never"
        elif not (part["type"] == "Split" and part["pattern"] == {"String": " "}):
            raise _refused(f"it cuts text up before it looks for pieces ({part['type']})")
    return prefix
