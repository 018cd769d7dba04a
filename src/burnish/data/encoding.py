"""Text to tokens, such that text never becomes a control token.

A rendered conversation holds control tokens that the template wrote, and may hold text of people or models that only
looks like one. Before rendering, look-alikes are put between two private characters (`Marks`); after it, what stands
between them is encoded as plain text and all else as usual. Where nothing was marked, the tokens are exactly those
that the tokenizer gives for the whole text.
"""

import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tokenizers import Tokenizer

from burnish.data.problems import printable
from burnish.errors import DataError

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

PROBE = "Say what?  Ünïcödé 你好，世界!\n\n\tx = [1, 2]  "
CACHE = 64  # encoded prompts that are kept: the answers of one prompt ask for the same text again


@dataclass(frozen=True, slots=True)
class Marks:
    """Two private-use characters that stand in none of the texts of one conversation."""

    start: str
    end: str

    @classmethod
    def absent_from(cls, texts: Iterable[str]) -> "Marks":
        used = {character for text in texts if not text.isascii() for character in text if character >= "\U000f0000"}
        free = (chr(code) for code in range(0xF0000, 0xFFFFE) if chr(code) not in used)
        return cls(next(free), next(free))

    def around(self, text: str, tokens: re.Pattern[str]) -> str:
        return tokens.sub(f"{self.start}\\g<0>{self.end}", text)

    def around_all(self, value: Any, tokens: re.Pattern[str]) -> Any:
        """The same in every string of a nested value: a tool's arguments come from people too."""
        if isinstance(value, str):
            return self.around(value, tokens)
        if isinstance(value, Mapping):
            return {name: self.around_all(inner, tokens) for name, inner in value.items()}
        if isinstance(value, list | tuple):
            return [self.around_all(inner, tokens) for inner in value]
        return value

    def removed_from(self, text: str) -> str:
        return text.replace(self.start, "").replace(self.end, "")


def pattern_of(tokens: Collection[str]) -> re.Pattern[str]:
    """Matches any of `tokens`, the longest first; matches nothing where there are none."""
    longest_first = sorted(tokens, key=len, reverse=True)
    return re.compile("|".join(map(re.escape, longest_first)) or r"(?!)")


class Encoder:
    """A tokenizer with its control tokens told apart.

    `special`: tokens that the tokenizer marks as special; no text of anyone becomes one. `added`: its other added
    tokens (reasoning and tool marks, runs of spaces): a model may write them, so they stay tokens in its answers.
    """

    def __init__(self, tokenizer: "PreTrainedTokenizerBase") -> None:
        self.tokenizer = tokenizer
        decoder = tokenizer.added_tokens_decoder
        named = {token for token in tokenizer.special_tokens_map.values() if isinstance(token, str)}
        self.special = frozenset(
            token.content for token in decoder.values() if token.special or token.content in named
        ) | frozenset(named)
        self.added = frozenset(token.content for token in decoder.values()) - self.special
        self.special_pattern = pattern_of(self.special)
        self._fast = self._copied()
        self.begin = self._begin()
        newline = self._whole("\n")
        # SentencePiece-like tokenizers put a space before the first word of whatever they are given, so a piece from
        # the middle of a text must be encoded behind something; byte-level ones need no such care.
        self.newline = newline if self._whole("\na")[len(newline) :] != self._whole("a") else None
        self._known: dict[tuple[str, bool, Marks | None], list[int]] = {}

    def _begin(self) -> tuple[int, ...]:
        """The begin token, where the tokenizer itself puts one before plain text."""
        begin = self.tokenizer.bos_token_id
        first = self.tokenizer("").input_ids[:1]
        return (begin,) if isinstance(begin, int) and first == [begin] else ()

    def id_of(self, token: str) -> int:
        return int(self.tokenizer.get_vocab()[token])

    def _copied(self) -> "Tokenizer | None":
        """The fast tokenizer under the tokenizer, as a copy whose truncation and padding nobody switches on again."""
        inner = getattr(self.tokenizer, "backend_tokenizer", None)
        if inner is None:
            return None
        copy = Tokenizer.from_str(inner.to_str())
        copy.no_truncation()
        copy.no_padding()
        copy.encode_special_tokens = False
        theirs = self.tokenizer.encode(PROBE, add_special_tokens=False)
        return copy if copy.encode(PROBE, add_special_tokens=False).ids == theirs else None

    def _whole(self, text: str) -> list[int]:
        try:
            if self._fast is not None:  # half the time of the call below
                return list(self._fast.encode(text, add_special_tokens=False).ids)
            return list(self.tokenizer.encode(text, add_special_tokens=False))
        except (TypeError, UnicodeEncodeError):
            raise DataError(
                f"a text holds half a character, and no tokenizer takes it: {printable(text, 40)}"
            ) from None

    def _without_added(self, text: str) -> list[int]:
        """`text` with no added token recognised, special or not."""
        backend = self._fast
        if backend is None:
            return list(self.tokenizer.encode(text, add_special_tokens=False, split_special_tokens=True))
        if backend.normalizer is not None:
            text = backend.normalizer.normalize_str(text)
        splits = [text]
        if backend.pre_tokenizer is not None:
            splits = [split for split, _ in backend.pre_tokenizer.pre_tokenize_str(text)]
        return [token.id for split in splits for token in backend.model.tokenize(split)]

    def _as_text(self, look_alike: str, follows: bool) -> list[int]:
        ids = self._behind(look_alike, self._without_added) if follows else self._without_added(look_alike)
        if len(look_alike) > 1 and self.id_of(look_alike) in ids:
            # the model's own vocabulary spells it as one piece: spell it letter by letter
            return [token for letter in look_alike for token in self._behind(letter, self._without_added)]
        return ids

    def _behind(self, text: str, encode: Any) -> list[int]:
        if self.newline is not None:
            ids = list(encode("\n" + text))
            if ids[: len(self.newline)] == self.newline:
                return ids[len(self.newline) :]
        return list(encode(text))

    def rendered(self, text: str, marks: Marks | None, *, follows: bool) -> list[int]:
        """Tokens of a rendered text: control tokens are control tokens, except those between marks.

        `follows`: it comes after other tokens, so no space may be put before its first word.
        """
        key = (text, follows, marks)
        known = self._known.get(key)
        if known is None:
            known = self._rendered(text, marks, follows)
            while len(self._known) >= CACHE:
                self._known.pop(next(iter(self._known)))
            self._known[key] = known
        return list(known)

    def _rendered(self, text: str, marks: Marks | None, follows: bool) -> list[int]:
        if marks is None or (marks.start not in text and marks.end not in text):
            return self._behind(text, self._whole) if follows else self._whole(text)
        # a template that cuts strings can part the two marks: a lone one still breaks the text, and is dropped
        pieces = re.split(f"{marks.start}([^{marks.start}{marks.end}]*){marks.end}|[{marks.start}{marks.end}]", text)
        ids: list[int] = []
        for index, piece in enumerate(pieces):
            if piece:
                after = follows or bool(ids)
                if index % 2:
                    ids += self._as_text(piece, after)
                else:
                    ids += self._behind(piece, self._whole) if after else self._whole(piece)
        return ids

    def plain(self, text: str, *, follows: bool) -> list[int]:
        """Tokens of a text that no template wrote: nothing in it is a control token."""
        if not self.special_pattern.search(text):
            return self.rendered(text, None, follows=follows)
        marks = Marks.absent_from([text])
        return self.rendered(marks.around(text, self.special_pattern), marks, follows=follows)

    def plain_batch(self, texts: list[str]) -> list[list[int]]:
        """The same for many texts at once, each at the beginning of its own."""
        safe = [index for index, text in enumerate(texts) if not self.special_pattern.search(text)]
        wanted = [texts[index] for index in safe]
        if self._fast is not None:
            batch = [encoding.ids for encoding in self._fast.encode_batch_fast(wanted, add_special_tokens=False)]
        else:
            batch = [self._whole(text) for text in wanted]
        known = dict(zip(safe, batch, strict=True))
        return [
            list(known[index]) if index in known else self.plain(text, follows=False)
            for index, text in enumerate(texts)
        ]
