"""What a file looks like to the model: rendered text with the learned tokens marked, lengths, and rows refused.

A template is a program that came with a model, and could print one thing for most rows and another for some. So the
report holds, beside examples, what the template writes around the turns, and says where that differs between
conversations of the same shape.
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from burnish.data.read import Reading
from burnish.data.templates import LearnFrom, Template
from burnish.errors import ConfigError, DataError
from burnish.types import Group, Message, Prompt

Segment = tuple[str, bool]
"""A piece of rendered text, and whether it is learned."""
Judge = Callable[[Group], tuple[str, Mapping[str, int]]]
"""Why a row would be refused when it is made into a tree (empty where it would not), and what is cut of it."""
SHAPES = 2


@dataclass(frozen=True, slots=True)
class Shown:
    """One row as the model gets it: a list of segments for each path (answer, or learned turn)."""

    origin: str
    paths: tuple[tuple[Segment, ...], ...]
    tokens: tuple[int, ...]
    learned: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Inspection:
    """The report on a file. Without a tokenizer, `template` is empty, nothing is shown, and lengths are characters."""

    rows: int
    kind: str
    formats: tuple[str, ...]
    columns: Mapping[str, int]
    template: Mapping[str, Any]
    lengths: Mapping[str, Mapping[str, float]]
    counts: Mapping[str, int]
    shown: tuple[Shown, ...]
    around: tuple[str, ...]
    refused: tuple[str, ...]
    warnings: tuple[str, ...]

    def figures(self) -> Mapping[str, Any]:
        return asdict(self)


def inspect(
    reading: Reading,
    template: Template | None = None,
    *,
    rows: int = 3,
    learn_from: LearnFrom = None,
    judge: Judge | None = None,
) -> Inspection:
    """Look at what was read. `rows`: how many are shown whole. `judge`: what later steps would do with a row."""
    refused = [f"{bad.origin}: {bad.reason}" for bad in reading.bad]
    columns = dict(Counter(name for group in reading.groups for name in group.extra))
    if template is None:
        lengths = {"prompt": _spread(_characters(reading.groups, prompts=True)), **_answers(reading)}
        told = (tuple(refused), reading.warnings)
        return Inspection(reading.rows, reading.kind, reading.formats, columns, {}, lengths, {}, (), (), *told)
    seen = _Seen(template, learn_from, rows, judge)
    for group in reading.groups:
        seen.look(group)
    return Inspection(
        rows=reading.rows,
        kind=reading.kind,
        formats=reading.formats,
        columns=columns,
        template=described(template),
        lengths={name: _spread(values) for name, values in seen.lengths.items() if values},
        counts=dict(seen.counts),
        shown=tuple(seen.shown),
        around=seen.around(),
        refused=(*refused, *seen.refused),
        warnings=(*reading.warnings, *seen.warnings()),
    )


def described(template: Template) -> dict[str, Any]:
    """A template by name, hash, what ends an answer, and the other templates that came with the tokenizer."""
    own = template.tokenizer.chat_template
    others = [name for name in own if name != template.name] if isinstance(own, Mapping) else []
    ends = template.tokenizer.convert_ids_to_tokens(sorted(template.end_tokens))
    return {
        "name": template.name,
        "hash": template.hash,
        "ends_with": template.tokenizer.convert_ids_to_tokens(template.end_token),
        "can_end": list(ends),
        "others": others,
        "source": template.source or "",
    }


class _Seen:
    """What has been looked at so far."""

    def __init__(self, template: Template, learn_from: LearnFrom, rows: int, judge: Judge | None) -> None:
        self.template = template
        self.learn_from = learn_from
        self.rows = rows
        self.judge = judge
        self.lengths: dict[str, list[int]] = {"prompt_tokens": [], "answer_tokens": [], "learned_tokens": []}
        self.counts: Counter[str] = Counter()
        self.shown: list[Shown] = []
        self.refused: list[str] = []
        self.shapes: dict[tuple[str, ...], Counter[str]] = {}

    def look(self, group: Group) -> None:
        try:
            paths = self._paths(group)
            self._skeleton(group)
        except ConfigError:
            raise  # the template itself: no row would do
        except DataError as error:
            self.refused.append(f"{group.origin}: {error}")
            return
        if self.judge and group.answers:
            why, counts = self.judge(group)
            self.counts.update(counts)
            if why:
                self.refused.append(why)
        if len(self.shown) < self.rows:
            self.shown.append(self._show(group, paths))

    def _paths(self, group: Group) -> list[tuple[tuple[int, ...], tuple[int, ...], tuple[bool, ...]]]:
        if not group.answers:
            prompt = tuple(self.template.prompt_tokens(group.prompt))
            self.lengths["prompt_tokens"].append(len(prompt))
            return [(prompt, (), ())]
        made = []
        for answer in group.answers:
            for path in self.template.paths(group.prompt, answer, self.learn_from):
                self.counts["joint_differs"] += path.joint_differs
                self.counts["rewritten"] += path.rewritten
                self.lengths["prompt_tokens"].append(len(path.prompt))
                self.lengths["answer_tokens"].append(len(path.tokens))
                self.lengths["learned_tokens"].append(sum(path.learned))
                made.append((path.prompt, path.tokens, path.learned))
        return made

    def _show(self, group: Group, paths: Sequence[tuple[tuple[int, ...], tuple[int, ...], tuple[bool, ...]]]) -> Shown:
        return Shown(
            group.origin,
            tuple(segments(self.template, *path) for path in paths),
            tuple(len(prompt) + len(tokens) for prompt, tokens, _ in paths),
            tuple(sum(learned) for _, _, learned in paths),
        )

    def _skeleton(self, group: Group) -> None:
        if self.template.source is None or group.prompt == "":
            return
        messages = (Message("user", group.prompt),) if isinstance(group.prompt, str) else group.prompt
        shape = tuple(message.role for message in messages)
        text = self.template.prompt_text(messages)
        self.shapes.setdefault(shape, Counter())[skeleton(text, messages)] += 1

    def around(self) -> tuple[str, ...]:
        """What the template writes around the turns, for the commonest shapes of conversation."""
        common = sorted(self.shapes.values(), key=lambda found: -found.total())[:SHAPES]
        return tuple(found.most_common(1)[0][0] for found in common)

    def warnings(self) -> list[str]:
        told = []
        for shape, found in self.shapes.items():
            if len(found) > 1:
                odd = found.most_common()[-1]
                told.append(
                    f"the template writes {len(found)} different things around conversations of {', '.join(shape)}: "
                    f"read it before you use it; most often {found.most_common(1)[0][0]!r}, {odd[1]} times {odd[0]!r}"
                )
        return told


def skeleton(text: str, messages: Sequence[Message]) -> str:
    """The rendered text with each turn's content replaced by its role: what is left is the template's."""
    position = 0
    pieces = []
    for message in messages:
        content = message.content.strip()
        at = text.find(content, position) if content else -1
        if at >= 0:
            pieces += [text[position:at], f"{{{message.role}}}"]
            position = at + len(content)
    return "".join([*pieces, text[position:]])


def segments(
    template: Template, prompt: Sequence[int], tokens: Sequence[int], learned: Sequence[bool]
) -> tuple[Segment, ...]:
    """A path's text, cut where learning begins or ends."""
    runs: list[tuple[list[int], bool]] = [(list(prompt), False)] if prompt else []
    for token, wanted in zip(tokens, learned, strict=True):
        if runs and runs[-1][1] == wanted:
            runs[-1][0].append(token)
        else:
            runs.append(([token], wanted))
    exact = {"skip_special_tokens": False, "clean_up_tokenization_spaces": False}
    return tuple((str(template.tokenizer.decode(run, **exact)), wanted) for run, wanted in runs)


def _characters(groups: Sequence[Group], *, prompts: bool) -> list[int]:
    if prompts:
        return [len(_said(group.prompt)) for group in groups]
    return [len(answer.text) for group in groups for answer in group.answers]


def _said(prompt: Prompt) -> str:
    return prompt if isinstance(prompt, str) else "".join(message.content for message in prompt)


def _answers(reading: Reading) -> dict[str, dict[str, float]]:
    found = _characters(reading.groups, prompts=False)
    return {"answer": _spread(found)} if found else {}


def _spread(values: Sequence[int]) -> dict[str, float]:
    """Least, median, 95th in a hundred, most, and mean."""
    if not values:
        return {}
    ordered = sorted(values)
    last = len(ordered) - 1
    return {
        "least": ordered[0],
        "median": ordered[last // 2],
        "p95": ordered[round(0.95 * last)],
        "most": ordered[-1],
        "mean": round(sum(ordered) / len(ordered), 1),
    }
