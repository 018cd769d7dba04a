"""A dialogue at the terminal: lines that are said to the models, and commands that begin with a slash.

Answers go to stdout, what is told about them to stderr. Without a terminal a line is a turn, and what cannot be done
ends the dialogue with its exit code: nobody is there to say it otherwise.
"""

import contextlib
import shlex
import signal
import sys
from collections.abc import Generator, Iterator, Sequence
from pathlib import Path
from string import ascii_uppercase
from typing import TextIO

from burnish.cli.answers import shown
from burnish.data.problems import for_terminal, nearest, printable
from burnish.data.secrets import masked
from burnish.errors import BurnishError, DataError, UsageError
from burnish.methods.chat import SETTABLE, Chat
from burnish.methods.turns import Reply
from burnish.training.config import settings_from
from burnish.training.signals import signals

PLACES = {"demonstration": Path("demonstrations.jsonl"), "ranking": Path("rankings.jsonl")}
"""Where /save puts what, unless it or the command says so."""

LEAVES = "Ctrl-D or /quit leaves."
COMMANDS = {
    "retry": {"": "have the last turn answered once more"},
    "keep": {"LETTER": "go on with this answer"},
    "save": {
        "": "keep the answer as a demonstration, for `burnish sft`",
        "B > A": "keep which is better, for `burnish reward` and `burnish dpo`; A = B is a tie",
        "… to FILE": "either, into this file",
    },
    "undo": {"": "take the last turn back"},
    "clear": {"": "begin a dialogue anew"},
    "system": {"TEXT": "what the models are told first; without TEXT nothing"},
    "set": {"KEY=VALUE": "change how answers are drawn; without KEY=VALUE it tells how"},
    "history": {"": "the dialogue so far"},
    "reveal": {"": "which model wrote which answer to the last turn"},
    "help": {"": "this"},
    "quit": {"": "leave, as Ctrl-D does; Ctrl-C stops an answer"},
}
"""Each is a method of `Dialogue`: what may follow it, and what it then does."""


class Dialogue:
    """`chat` at this process's terminal. `save`: where /save puts what; `out`: where answers go."""

    def __init__(self, chat: Chat, *, save: Path | None = None, out: TextIO | None = None) -> None:
        self.chat = chat
        self.place = save
        self.out = out or sys.stdout
        self.interactive = sys.stdin.isatty()
        self.over = False

    def run(self) -> None:
        """Until /quit, Ctrl-D or the end of what is piped in. Raises what a command raises where nobody sits here."""
        if self.interactive:
            names = " and ".join(model.name for model in self.chat.models)
            self.tell(f"{'You talk' if self.chat.dialogue else 'Texts are continued'} with {names}. /help tells more.")
        if not self.chat.dialogue:
            self.tell("No chat template: what you type is continued as it stands, each line by itself.")
        for line in self.lines():
            try:
                self.said(line)
            except BurnishError as error:
                if not self.interactive:
                    raise
                self.tell(masked(str(error)))
            except KeyboardInterrupt:  # a second Ctrl-C, which came when the first had stopped the answer already
                if not self.interactive:
                    raise
                self.tell(LEAVES)
            if self.over:
                return

    def lines(self) -> Iterator[str]:
        if not self.interactive:
            yield from _piped()
            return
        with contextlib.suppress(ImportError):
            import readline  # noqa: F401  editing and what was typed before, once it is imported
        while True:
            try:
                yield input("> ")
            except EOFError:
                self.tell("")
                return
            except KeyboardInterrupt:
                self.tell(f"\n{LEAVES}")
            except UnicodeDecodeError as error:
                self.tell(f"what was typed is not {error.encoding} ({error.reason}); type it again")

    def said(self, line: str) -> None:
        if not line.strip():
            return
        if not line.startswith("/") or line.startswith("//"):
            self.write(self.chat.ask(line.removeprefix("/")), 0)
            return
        name, _, rest = line[1:].partition(" ")
        if name not in COMMANDS:
            near = nearest(name, COMMANDS) or "; /help tells which there are"
            raise UsageError(f"/{printable(name, 40)}: no such command{near}; to say it to the models, write //")
        getattr(self, name)(rest.strip())

    def write(self, answers: Generator[Sequence[str], None, None], first: int) -> None:
        """Show answers while they are written, the first of them with letter number `first`. Ctrl-C stops them."""
        letters = ascii_uppercase[first : first + len(self.chat.models)]
        names = ["" if self.chat.blind else model.name for model in self.chat.models]
        screen = shown(self.out, [f"{letter}  {name}".strip() for letter, name in zip(letters, names, strict=True)])
        turns = len(self.chat.turns)
        with signals() as wish:
            try:
                for texts in answers:
                    screen.update(texts)
                    if wish:
                        break
            finally:
                answers.close()
                drawn = self.chat.turns[-1].replies[first:] if len(self.chat.turns) > turns or first else []
                screen.close([reply.answer.text for reply in drawn])
        self.comment(drawn, first)
        if signal.SIGTERM in wish.asked:
            signal.raise_signal(signal.SIGTERM)
        if wish and not self.interactive:
            raise KeyboardInterrupt

    def comment(self, drawn: Sequence[Reply], first: int) -> None:
        """What the texts alone do not say."""
        for reply in drawn:
            which = f"{reply.letter} was" if len(self.chat.models) > 1 or first else "the answer was"
            if not reply.answer.text.strip():
                self.tell(f"({which} blank)")
            if reply.stopped:
                self.tell(f"({which} stopped; what was written is kept)")
            elif not reply.answer.finished and len(reply.answer.tokens or ()) >= self.chat.config.max_new_tokens:
                self.tell(
                    f"({which} cut at {len(reply.answer.tokens or ())} tokens; /set max_new_tokens=… allows more)"
                )
        if drawn and self.chat.turns[-1].shortened:
            self.tell("(the oldest turns no longer fit into max_length; the models did not read them)")
        if drawn and first and len(self.chat.models) == 1:
            new, old = drawn[0].letter, self.chat.turns[-1].replies[first - 1].letter
            self.tell(f"(this is {new}; /save {new} > {old} keeps that it is better)")

    # ---- commands

    def retry(self, rest: str) -> None:
        self.write(self.chat.retry(), len(self.chat.last().replies))

    def keep(self, rest: str) -> None:
        reply = self.chat.keep(rest)
        self.tell(f"going on with {reply.letter}")

    def save(self, rest: str) -> None:
        order, to, named = f" {rest}".partition(" to ")
        kind = "ranking" if ">" in order or "=" in order else "demonstration"
        place = Path(named.strip()).expanduser() if to else self.place or PLACES[kind]
        self.chat.save(place, order)
        self.tell(f"saved as a {kind} in {place}")

    def undo(self, rest: str) -> None:
        self.tell(f"taken back: {printable(self.chat.undo().said, 60)}")

    def clear(self, rest: str) -> None:
        self.chat.clear()
        self.tell("the dialogue begins anew")

    def system(self, rest: str) -> None:
        self.chat.say_first(rest)
        self.tell(
            "from the next turn on the models are told this first" if rest else "the models are told nothing first"
        )

    def set(self, rest: str) -> None:
        if rest:
            try:
                self.chat.set(settings_from(shlex.split(rest)))
            except ValueError as error:
                raise UsageError(f"/set {printable(rest)}: {error}; quotes are read as a shell reads them") from None
            return
        values = self.chat.config.model_dump(mode="json", include=set(SETTABLE))
        self.tell("\n".join(f"{name:<20}{value}" for name, value in values.items()))

    def history(self, rest: str) -> None:
        told = [f"(system) {self.chat.system}"] if self.chat.system else []
        for turn in self.chat.turns:
            told += [f"> {turn.said}", turn.reply.answer.text]
        self.tell("\n".join(told) or "nothing was said yet")

    def reveal(self, rest: str) -> None:
        for reply in self.chat.last().replies:
            self.tell(f"{reply.letter}  {self.chat.models[reply.model].name}")

    def help(self, rest: str) -> None:
        for name, uses in COMMANDS.items():
            for argument, words in uses.items():
                self.tell(f"  {f'/{name} {argument}':<20}{words}")

    def quit(self, rest: str) -> None:
        self.over = True

    def tell(self, words: str) -> None:
        print(for_terminal(words), file=sys.stderr, flush=True)


def _piped() -> Iterator[str]:
    """What is piped in, a line a turn. Raises DataError for a line that is not UTF-8."""
    for number, line in enumerate(sys.stdin.buffer, 1):
        try:
            yield line.decode("utf-8-sig" if number == 1 else "utf-8").rstrip("\r\n")
        except UnicodeDecodeError as error:
            raise DataError(f"line {number} of what is piped in is not UTF-8 ({error}); convert it") from None
