"""How a prompt and an answer become tokens.

`template: auto | none | chat | NAME` is resolved once. `auto` is the tokenizer's chat template where it has one, else
none; `none` joins prompt and response as they stand; NAME is one of the built-in templates, or one of several that the
tokenizer carries.

The prompt's tokens are those of the prompt rendered alone, as a sampler sees it. The answer is what the template puts
after that, encoded on its own, and ends with its end-of-turn token. What a template prints after that token is neither
learned nor scored.
"""

import contextlib
import hashlib
import itertools
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from burnish.data.builtin_templates import BUILTIN
from burnish.data.encoding import Encoder, Marks, pattern_of
from burnish.data.rendering import Printer, RefusedError, Sheet
from burnish.errors import ConfigError, DataError
from burnish.types import Answer, Group, Message, Prompt

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

LearnFrom = str | None
"""`last`: the last assistant turn; `all`: every one; None: what the record says, that is the answer and later turns."""


@dataclass(frozen=True, slots=True)
class Path:
    """One prompt and what follows it, as tokens. `learned[i]` says whether tokens[i] carries loss.

    `ended`: the last learned token is an end token. `joint_differs`: encoding prompt and answer in one piece would
    give other tokens. `rewritten`: the template shows earlier turns differently later, so that this conversation
    became more than one path.
    """

    prompt: tuple[int, ...]
    tokens: tuple[int, ...]
    learned: tuple[bool, ...]
    joint_differs: bool = False
    rewritten: bool = False


@dataclass(frozen=True, slots=True)
class _Turn:
    """A learned turn as the template writes it: `head` before it, then `body` and `end`, with marks inside."""

    head: str
    body: str
    end: str


def _unmarked(pattern: re.Pattern[str], text: str, marks: Marks) -> re.Match[str] | None:
    """The first match that the template wrote itself."""
    either = re.compile(f"{marks.start}[^{marks.end}]*{marks.end}|({pattern.pattern})")
    return next((found for found in either.finditer(text) if found.group(1) is not None), None)


def _jobs(learned: Iterable[int]) -> list[tuple[int, bool]]:
    """For each learned turn: its history asking for it, and the two together."""
    return [job for place in learned for job in ((place, True), (place + 1, False))]


def _joined(text: str) -> str:
    return "".join(text.split())


def resolve(tokenizer: "PreTrainedTokenizerBase", template: str = "auto") -> "Template":
    """The template that `auto`, `none`, `chat` or a name means for this tokenizer. Raises ConfigError."""
    own = tokenizer.chat_template
    named = dict(own) if isinstance(own, Mapping) else {"default": own} if own else {}
    if template == "auto":
        template = "chat" if "default" in named else "none" if not named else "auto"
        if template == "auto":
            raise ConfigError(f"template: auto: this tokenizer has several and no default; choose one of {list(named)}")
    if template == "none":
        return Template(tokenizer, "none", None)
    if template == "chat":
        if "default" not in named:
            raise ConfigError(
                f"template: chat: this tokenizer has no chat template; choose one of {', '.join(BUILTIN)}, or none"
            )
        return Template(tokenizer, "chat", named["default"])
    if template in named:
        return Template(tokenizer, template, named[template])
    if template not in BUILTIN:
        raise ConfigError(
            f"template: {template}: no such template; choose auto, none, chat or one of "
            f"{', '.join([*BUILTIN, *(name for name in named if name != 'default')])}"
        )
    builtin = BUILTIN[template]
    missing = [token for token in builtin.needs if token not in tokenizer.get_vocab()]
    if missing:
        plain = [name for name, other in BUILTIN.items() if not other.needs]
        raise ConfigError(
            f"template: {template}: it writes {', '.join(missing)}, which this tokenizer does not have; "
            f"choose one that needs no control tokens: {', '.join(plain)}"
        )
    return Template(tokenizer, template, builtin.text)


class Template:
    """A resolved template with its tokenizer. Made by `resolve`."""

    def __init__(self, tokenizer: "PreTrainedTokenizerBase", name: str, source: str | None) -> None:
        self.tokenizer = tokenizer
        self.name = name
        self.source = source
        self.encoder = Encoder(tokenizer)
        self._named = {key: str(value) for key, value in tokenizer.special_tokens_map.items() if isinstance(value, str)}
        written = {token for token in self.encoder.added if not token.isspace() and token in (source or "")}
        self._user_pattern = pattern_of(self.encoder.special | written)
        eos = tokenizer.eos_token_id
        self._end_text = tokenizer.eos_token if isinstance(eos, int) else None
        self._written_end = False
        self._printer = Printer(source or "", name, self._named)
        if source is not None:
            self._find_end()
        if self._end_text is None:
            raise ConfigError(
                f"template: {name}: no token ends an answer: the tokenizer has no end-of-text token; "
                "set eos_token in its tokenizer_config.json"
            )
        self._end_pattern = pattern_of([self._end_text])
        self.end_token = self.encoder.id_of(self._end_text)
        self.end_tokens = frozenset([self.end_token, *([eos] if isinstance(eos, int) else [])])
        self.text_end = eos if isinstance(eos, int) else self.end_token
        """The token that separates documents in pretraining."""
        told = json.dumps([name == "none", source, self.end_token, list(self.encoder.begin), self._named])
        self.hash = hashlib.blake2b(told.encode(), digest_size=16).hexdigest()

    def _find_end(self) -> None:
        """The end-of-turn token is the first control token that the template writes after an answer."""
        probe, why = "PROBE of an answer", ""
        for first in ([], [Message("system", "PROBE of a system turn")]):
            messages = [*first, Message("user", "PROBE of a question"), Message("assistant", probe)]
            try:
                (text,) = self._printer.texts(self._sheet(messages, None, [(len(messages), False)]))
            except RefusedError as error:
                why = f" ({error})"
                continue
            tail = text.rpartition(probe)[2] if probe in text else ""
            tokens = self.encoder.special | {token for token in self.encoder.added if not token.isspace()}
            found = pattern_of(tokens).search(tail)
            if found:
                self._end_text, self._written_end = found.group(), True
            return
        raise ConfigError(f"template: {self.name}: it takes no conversation of a user and an assistant turn{why}")

    # ---- rendering

    def _sheet(self, messages: Sequence[Message], marks: Marks | None, jobs: Iterable[tuple[int, bool]]) -> Sheet:
        tools = next((message.extra["tools"] for message in messages if message.extra.get("tools")), None)
        said = tuple(self._plain(message, marks) for message in messages)
        return Sheet(said, marks.around_all(tools, self._user_pattern) if marks else tools, tuple(jobs))

    def _plain(self, message: Message, marks: Marks | None) -> dict[str, Any]:
        """What the template sees of a message. An assistant may write the tokens that are not special."""
        pattern = self.encoder.special_pattern if message.role == "assistant" else self._user_pattern
        extra = {name: value for name, value in message.extra.items() if name not in ("tools", "weight")}
        said = {**extra, "role": message.role, "content": message.content}
        return {name: marks.around_all(value, pattern) if marks else value for name, value in said.items()}

    def _messages(self, prompt: Prompt) -> tuple[Message, ...]:
        return (Message("user", prompt),) if isinstance(prompt, str) else prompt

    def _marks(self, messages: Iterable[Message]) -> Marks:
        return Marks.absent_from(json.dumps([m.content, m.extra], ensure_ascii=False, default=str) for m in messages)

    def _check_shown(self, messages: Sequence[Message], text: str, marks: Marks) -> None:
        """Refuse where the template loses a turn or cannot show a tool call."""
        if any(message.extra.get("tool_calls") for message in messages) and "tool_calls" not in (self.source or ""):
            raise RefusedError(f"template {self.name} cannot show tool_calls; choose one that can, or leave them out")
        shown = None
        for number, message in enumerate(messages, 1):
            if message.role in ("user", "system") and message.content.strip() not in text:
                shown = shown if shown is not None else _joined(marks.removed_from(text))
                if _joined(message.content) not in shown:
                    raise RefusedError(f"template {self.name} leaves out turn {number} ({message.role}); remove it")

    def _turn(self, head: str, full: str, answer: Message, marks: Marks) -> _Turn:
        """What stands after the prompt up to its first end-of-turn token.

        Where the template's text for the finished turn does not begin with the prompt's (it opens a reasoning block
        in the prompt, say), or loses part of the answer, the answer's own text is taken as it stands.
        """
        own = marks.around(answer.content, self.encoder.special_pattern)
        end = self._end_text or ""
        body = full[len(head) :] if full.startswith(head) else None
        if body is None or _joined(own) not in _joined(body):
            return _Turn(head, own, end)
        found = _unmarked(self._end_pattern, body, marks) if self._written_end else None
        if found:
            return _Turn(head, body[: found.start()], end)
        at = body.rfind(own.strip())
        return _Turn(head, body[: at + len(own.strip())] if at >= 0 else own, end)

    def _turns(self, messages: Sequence[Message], learned: Sequence[int], marks: Marks) -> list[_Turn]:
        """Each learned turn behind its history, as the template writes that when the turn is asked for."""
        texts = self._printer.texts(self._sheet(messages, marks, _jobs(learned)))
        turns = []
        for place, head, full in zip(learned, texts[::2], texts[1::2], strict=True):
            self._check_shown(messages[:place], head, marks)
            turns.append(self._turn(head, full, messages[place], marks))
        return turns

    # ---- tokens

    def prompt_text(self, prompt: Prompt) -> str:
        """The text whose tokens are `prompt_tokens`, for people to look at."""
        if self.source is None or prompt == "":
            return self._one_text(prompt)
        messages = self._messages(prompt)
        (text,) = self._printer.texts(self._sheet(messages, None, [(len(messages), True)]))
        return text

    def prompt_tokens(self, prompt: Prompt) -> list[int]:
        """The prompt as a sampler sees it, what asks for the answer included. Raises DataError."""
        if self.source is None or prompt == "":
            return [*self.encoder.begin, *self.encoder.plain(self._one_text(prompt), follows=False)]
        messages = self._messages(prompt)
        marks = self._marks(messages)
        (text,) = self._printer.texts(self._sheet(messages, marks, [(len(messages), True)]))
        self._check_shown(messages, text, marks)
        return self.encoder.rendered(text, marks, follows=False)

    def answer_tokens(
        self, prompt: Prompt, answer: Answer, learn_from: LearnFrom = None
    ) -> list[tuple[tuple[int, ...], tuple[int, ...], tuple[bool, ...]]]:
        """(prompt tokens, answer tokens, which of them are learned), one for each path of the conversation."""
        return [(path.prompt, path.tokens, path.learned) for path in self.paths(prompt, answer, learn_from)]

    def text(self, tokens: Sequence[int]) -> str:
        """An answer's text: what stands before its first end token.

        NUL becomes U+FFFD, as bytes do that are no character: no file of records may hold it. The tokens still say it.
        """
        stop = next((index for index, token in enumerate(tokens) if token in self.end_tokens), len(tokens))
        said = self.tokenizer.decode(list(tokens[:stop]), skip_special_tokens=False, clean_up_tokenization_spaces=False)
        return str(said).replace("\0", "\ufffd")

    def paths(self, prompt: Prompt, answer: Answer, learn_from: LearnFrom = None) -> list[Path]:
        """The conversation as paths of tokens: one, or one for each learned turn where the template rewrites the past.

        Raises RefusedError where the template does not take it, ConfigError where there is none to take it with.
        """
        if answer.tokens is not None:
            tokens = answer.tokens
            return [Path(tuple(self.prompt_tokens(prompt)), tokens, (True,) * len(tokens))]
        if self.source is None or prompt == "":
            return [self._plain_path(prompt, answer)]
        messages, learned = self._conversation(prompt, answer, learn_from)
        marks = self._marks(messages)
        turns = self._turns(messages, learned, marks)
        between = self._between(turns)
        if between is None:
            return [self._path([turn], [], marks, rewritten=True) for turn in turns]
        return [self._path(turns, between, marks)]

    def ahead(self, groups: Iterable[Group], learn_from: LearnFrom = None) -> None:
        """Print the conversations of several groups in one go; `paths` and `prompt_tokens` then find them printed."""
        if self.source is None:
            return
        sheets = []
        for group in groups:
            prompt = self._messages(group.prompt)
            sheets.append(self._sheet(prompt, self._marks(prompt), [(len(prompt), True)]))
            for answer in group.answers:
                if answer.tokens is None and group.prompt != "":
                    with contextlib.suppress(DataError):  # whoever asks for its paths is told
                        messages, learned = self._conversation(group.prompt, answer, learn_from)
                        sheets.append(self._sheet(messages, self._marks(messages), _jobs(learned)))
        self._printer.ahead(sheets)

    def _conversation(self, prompt: Prompt, answer: Answer, learn_from: LearnFrom) -> tuple[list[Message], list[int]]:
        messages = [*self._messages(prompt), Message("assistant", answer.text, answer.extra), *answer.later]
        return messages, self._learned(messages, len(messages) - 1 - len(answer.later), learn_from)

    def _learned(self, messages: Sequence[Message], answer: int, learn_from: LearnFrom) -> list[int]:
        spoken = [place for place, message in enumerate(messages) if message.role == "assistant"]
        if learn_from == "last":
            spoken = spoken[-1:]
        elif learn_from is None:
            spoken = [place for place in spoken if place >= answer]
        elif learn_from != "all":
            raise ConfigError(f"learn_from: {learn_from}: choose last or all")
        kept = [place for place in spoken if messages[place].extra.get("weight") != 0]
        if not kept:
            raise DataError("every assistant turn has weight 0: nothing to learn")
        return kept

    def _between(self, turns: Sequence[_Turn]) -> list[str] | None:
        """What stands between one learned turn's end and the next turn, or None where the past is rewritten."""
        between = []
        for turn, following in itertools.pairwise(turns):
            past = turn.head + turn.body + turn.end
            if not following.head.startswith(past):
                return None
            between.append(following.head[len(past) :])
        return between

    def _path(self, turns: Sequence[_Turn], between: Sequence[str], marks: Marks, rewritten: bool = False) -> Path:
        prompt = self.encoder.rendered(turns[0].head, marks, follows=False)
        tokens: list[int] = []
        learned: list[bool] = []
        for index, turn in enumerate(turns):
            if index:
                gap = self.encoder.rendered(between[index - 1], marks, follows=True)
                tokens += gap
                learned += [False] * len(gap)
            said = [*self.encoder.rendered(turn.body, marks, follows=True), self.end_token]
            tokens += said
            learned += [True] * len(said)
        whole = turns[0].head + "".join(
            turn.body + turn.end + gap for turn, gap in zip(turns, [*between, ""], strict=True)
        )
        differs = self.encoder.rendered(whole, marks, follows=False) != prompt + tokens
        return Path(tuple(prompt), tuple(tokens), tuple(learned), differs, rewritten)

    def _plain_path(self, prompt: Prompt, answer: Answer) -> Path:
        if answer.later:
            raise self._needs_chat("a conversation of several turns")
        text = self._one_text(prompt)
        before = self.prompt_tokens(prompt)
        said = [*self.encoder.plain(answer.text, follows=bool(text)), self.end_token]
        joint = [*self.encoder.begin, *self.encoder.plain(text + answer.text, follows=False)]
        learned = [True] * len(said)
        if not before:
            learned[0] = False  # nothing stands before it, so nothing predicts it
        return Path(tuple(before), tuple(said), tuple(learned), joint_differs=joint != before + said[:-1])

    def _one_text(self, prompt: Prompt) -> str:
        if isinstance(prompt, str):
            return prompt
        raise self._needs_chat("a list of messages")

    def _needs_chat(self, what: str) -> ConfigError:
        return ConfigError(
            f"template: {self.name}: the prompt is {what}, and the tokenizer has no chat template to write it with; "
            f"choose `template:` one of {', '.join(BUILTIN)}"
        )
