"""Groups of text become trees of tokens, cut to a length.

`max_length` bounds a prompt with one of its answers. Where a path is longer, the prompt's oldest exchanges go first,
never its system turn nor what follows from the last user turn on; then the answer's end goes, and with it the token
that would have ended it. What was done is counted in the report.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace

from burnish.data.templates import LearnFrom, Path, Template
from burnish.errors import ConfigError, DataError
from burnish.types import Answer, Branch, Group, Order, Prompt, Rollout, Tree

SYSTEM = ("system", "developer")
SHOWN = 10  # rows named in one message
PRINTED_AT_ONCE = 32  # conversations handed to the template together


@dataclass(frozen=True, slots=True)
class TreeReport:
    """Trees, and what was done to make them. All but `trees` and `skipped` are counts."""

    trees: list[Tree]
    cut: int = 0
    """Answers whose end was cut off, so that they teach no end token."""
    shortened: int = 0
    """Groups whose prompt lost its oldest exchanges."""
    equal: int = 0
    """Answers that became equal to another of their group by cutting: they make no pair with it."""
    joint_differs: int = 0
    """Answers whose tokens would be others if prompt and answer were encoded in one piece."""
    rewritten: int = 0
    """Conversations that became one tree a learned turn, because the template shows past turns differently."""
    foreign: int = 0
    """Sampled answers whose tokens are of another vocabulary, so that their text is read."""
    skipped: tuple[str, ...] = ()
    """Why rows were left out, one message each; empty unless `on_too_long` is skip."""

    def figures(self) -> dict[str, int]:
        """The counts by name, for a report."""
        return {
            "trees": len(self.trees),
            "cut": self.cut,
            "shortened": self.shortened,
            "equal": self.equal,
            "joint_differs": self.joint_differs,
            "rewritten": self.rewritten,
            "foreign": self.foreign,
            "skipped": len(self.skipped),
        }


@dataclass(slots=True)
class _Counts:
    cut: int = 0
    shortened: int = 0
    equal: int = 0
    joint_differs: int = 0
    rewritten: int = 0
    foreign: int = 0
    skipped: list[str] = field(default_factory=list)


class _UnfitError(DataError):
    """This row makes no tree."""


def places(order: Order | None, count: int) -> tuple[int, ...]:
    """The place of each of `count` answers: 0 is best, ties are equal, -1 where the order does not say."""
    place = [-1] * count
    for rank, tied in enumerate(order or ()):
        for answer in tied:
            place[answer] = rank
    return tuple(place)


def trees(
    groups: Sequence[Group],
    template: Template,
    *,
    max_length: int,
    learn_from: LearnFrom = None,
    on_too_long: str = "fail",
    least: int = 1,
) -> TreeReport:
    """One tree for each group (one for each learned turn where the template rewrites the past).

    Raises DataError naming the rows that cannot fit or have nothing to learn; with `on_too_long="skip"` those that
    cannot fit are left out and counted, and it raises only where fewer than `least` trees are left.
    """
    if on_too_long not in ("fail", "skip"):
        raise ConfigError(f"on_too_long: {on_too_long}: choose fail or skip")
    made: list[Tree] = []
    counts = _Counts()
    for index, group in enumerate(groups):
        if index % PRINTED_AT_ONCE == 0:
            template.ahead(groups[index : index + PRINTED_AT_ONCE], learn_from)
        try:
            made += _trees_of(index, group, template, max_length, learn_from, counts)
        except DataError as error:
            counts.skipped.append(f"{group.origin or f'row {index + 1}'}: {error}")
    if counts.skipped and (on_too_long == "fail" or len(made) < least):
        raise DataError(_listed(counts.skipped, len(groups)))
    return TreeReport(
        made,
        cut=counts.cut,
        shortened=counts.shortened,
        equal=counts.equal,
        joint_differs=counts.joint_differs,
        rewritten=counts.rewritten,
        foreign=counts.foreign,
        skipped=tuple(counts.skipped),
    )


def _listed(problems: Sequence[str], rows: int) -> str:
    more = f"\n… and {len(problems) - SHOWN} more" if len(problems) > SHOWN else ""
    return (
        f"{len(problems)} of {rows} rows have nothing to learn from (0 loss tokens):\n"
        + "\n".join(problems[:SHOWN])
        + more
        + "\nMend or remove them, raise max_length, or set `on_too_long: skip` to leave them out"
    )


def _trees_of(
    index: int, group: Group, template: Template, max_length: int, learn_from: LearnFrom, counts: _Counts
) -> list[Tree]:
    if not group.answers:
        raise _UnfitError("a prompt without answers; found none under response, chosen or answers; add one")
    group = _in_own_tokens(group, template, counts)
    for number, answer in enumerate(group.answers, 1):
        _check_text(answer, number, template)
    prompt, paths = _fitting(group, template, max_length, learn_from)
    if prompt != group.prompt:
        counts.shortened += 1
    counts.joint_differs += sum(path.joint_differs for row in paths for path in row)
    counts.rewritten += sum(len(row) > 1 for row in paths)
    if len(paths) > 1:
        if any(len(row) > 1 for row in paths):
            raise _UnfitError(
                f"answers of several turns, and template {template.name} shows past turns differently later, so they "
                "share no prompt; keep one turn an answer"
            )
        return [_tree(index, group, [row[0] for row in paths], template, max_length, counts)]
    return [_tree(index, group, [path], template, max_length, counts) for path in paths[0]]


def _in_own_tokens(group: Group, template: Template, counts: _Counts) -> Group:
    """`group` without the tokens of answers that say something else in this vocabulary: another model sampled them."""
    foreign = [answer.tokens is not None and not _says(answer, template) for answer in group.answers]
    if not any(foreign):
        return group
    counts.foreign += sum(foreign)
    answers = [
        replace(answer, tokens=None, logprobs=None) if other else answer
        for answer, other in zip(group.answers, foreign, strict=True)
    ]
    return replace(group, answers=tuple(answers))


def _says(answer: Answer, template: Template) -> bool:
    """Whether the answer's tokens are its text, or its text and the stop string that cut it."""
    written = template.text(answer.tokens or ())
    return written == answer.text or (bool(answer.text) and written.startswith(answer.text))


def _check_text(answer: Answer, number: int, template: Template) -> None:
    if answer.tokens is None and not answer.extra and not template.encoder.special_pattern.sub("", answer.text).strip():
        raise _UnfitError(f"answer {number} holds nothing but control tokens or spaces; found {answer.text[:60]!r}")


def _fitting(
    group: Group, template: Template, max_length: int, learn_from: LearnFrom
) -> tuple[Prompt, list[list[Path]]]:
    """The longest suffix of the prompt with which every path fits, or the shortest that there is; and its paths."""
    paths: list[list[Path]] = []
    prompt = group.prompt
    for prompt in shorter_prompts(group.prompt):
        paths = [template.paths(prompt, answer, _reaching(group, learn_from)) for answer in group.answers]
        if all(len(path.prompt) + len(path.tokens) <= max_length for row in paths for path in row):
            break
    return prompt, paths


def _reaching(group: Group, learn_from: LearnFrom) -> LearnFrom:
    """Answers that are compared are compared whole, whatever `learn_from` says of conversations."""
    return learn_from if len(group.answers) == 1 else None


def shorter_prompts(prompt: Prompt) -> Iterator[Prompt]:
    """The prompt, then the same without its oldest exchange, and so on.

    The system turn stays, and everything from the last user turn on. An exchange is a user turn with what follows it
    up to the next user turn, since many templates want the two to take turns.
    """
    yield prompt
    if isinstance(prompt, str):
        return
    for start, message in enumerate(prompt):
        kept = tuple(earlier for earlier in prompt[:start] if earlier.role in SYSTEM)
        if message.role == "user" and len(kept) < start:
            yield (*kept, *prompt[start:])


def _tree(
    index: int, group: Group, paths: Sequence[Path], template: Template, max_length: int, counts: _Counts
) -> Tree:
    prompt = paths[0].prompt
    if any(path.prompt != prompt for path in paths):
        raise _UnfitError("the answers do not share one prompt under this template")
    room = max_length - len(prompt)
    if room < 1:
        raise _UnfitError(
            f"the prompt alone has {len(prompt)} tokens and max_length is {max_length}; shorten it or raise max_length"
        )
    branches = [
        _branch(number, path, answer, place, room, template)
        for number, (path, answer, place) in enumerate(
            zip(paths, group.answers, places(group.order, len(group.answers)), strict=True)
        )
    ]
    for branch, path in zip(branches, paths, strict=True):
        if not any(branch.learned):
            raise _UnfitError(f"no token of answer {branch.answer + 1} can be learned; found {len(path.tokens)} tokens")
    counts.cut += sum(len(path.tokens) > room for path in paths)
    apart, equal = _apart(branches)
    counts.equal += equal
    return Tree(prompt, tuple(apart), group=index, id=group.id, origin=group.origin)


def _branch(number: int, path: Path, answer: Answer, place: int, room: int, template: Template) -> Branch:
    tokens, learned = path.tokens[:room], path.learned[:room]
    last = max((at for at, wanted in enumerate(learned) if wanted), default=-1)
    # what follows the last learned token is never looked at
    tokens, learned = tokens[: last + 1], learned[: last + 1]
    ended = bool(tokens) and tokens[-1] in template.end_tokens
    if ended and answer.finished is False:
        ended = False
        if answer.tokens is None:  # the template ended what its writer did not
            tokens, learned = tokens[:-1], learned[:-1]
    score = float("nan") if answer.score is None else answer.score
    return Branch(tokens, learned, ended=ended, place=place, answer=number, score=score)


def _apart(branches: Sequence[Branch]) -> tuple[list[Branch], int]:
    """Branches of equal tokens make no pair. They tie where no other answer's place lies between theirs; where one
    does, people have said two things of one text, and the place of each is unknown."""
    same: dict[tuple[int, ...], list[int]] = {}
    for at, branch in enumerate(branches):
        if branch.place >= 0:
            same.setdefault(branch.tokens, []).append(at)
    result = list(branches)
    equal = 0
    for members in same.values():
        held = [branches[at].place for at in members]
        if max(held) == min(held):
            continue
        equal += len(members) - 1
        between = any(min(held) < branch.place < max(held) for at, branch in enumerate(branches) if at not in members)
        for at in members:
            result[at] = replace(branches[at], place=-1 if between else min(held))
    return result, equal


def prompt_trees(
    groups: Sequence[Group], template: Template, *, max_length: int, room: int, on_too_long: str = "fail"
) -> TreeReport:
    """Prompts to sample from, as trees without branches, each leaving `room` tokens below `max_length`.

    Raises DataError naming the prompts that cannot fit; `on_too_long="skip"` leaves them out and counts them.
    """
    made: list[Tree] = []
    counts = _Counts()
    for index, group in enumerate(groups):
        if index % PRINTED_AT_ONCE == 0:
            template.ahead(groups[index : index + PRINTED_AT_ONCE])
        origin = group.origin or f"row {index + 1}"
        tokens: list[int] = []
        prompt = group.prompt
        try:
            for prompt in shorter_prompts(group.prompt):
                tokens = template.prompt_tokens(prompt)
                if len(tokens) + room <= max_length:
                    break
            else:
                raise _UnfitError(
                    f"the prompt has {len(tokens)} tokens and an answer needs {room}, together above max_length "
                    f"{max_length}; shorten it, raise max_length or lower max_new_tokens"
                )
            if not tokens:
                raise _UnfitError("the prompt has no tokens; there is nothing to sample from")
        except DataError as error:
            counts.skipped.append(f"{origin}: {error}")
            continue
        counts.shortened += prompt != group.prompt
        made.append(Tree(tuple(tokens), (), group=index, id=group.id, origin=group.origin))
    if counts.skipped and (on_too_long == "fail" or not made):
        more = f"\n… and {len(counts.skipped) - SHOWN} more" if len(counts.skipped) > SHOWN else ""
        raise DataError(
            f"{len(counts.skipped)} of {len(groups)} prompts cannot be used:\n"
            + "\n".join(counts.skipped[:SHOWN])
            + more
        )
    return TreeReport(made, shortened=counts.shortened, skipped=tuple(counts.skipped))


def tree_of(
    prompt_tokens: Sequence[int],
    rollouts: Sequence[Rollout],
    *,
    group: int = 0,
    id: str = "",  # noqa: A002  the record's own name
    origin: str = "",
    scores: Sequence[float] | None = None,
    order: Order | None = None,
) -> Tree:
    """Sampled answers as the branches of their prompt, their token ids kept as they are and all learned."""
    place = places(order, len(rollouts))
    branches = tuple(
        Branch(
            tokens=rollout.tokens,
            learned=(True,) * len(rollout.tokens),
            ended=rollout.finished,
            place=place[number],
            answer=number,
            score=float("nan") if scores is None else float(scores[number]),
        )
        for number, rollout in enumerate(rollouts)
    )
    return Tree(tuple(prompt_tokens), branches, group=group, id=id, origin=origin)


def choice_tree(prompt: Sequence[int], choices: Sequence[str], template: Template, *, group: int = 0) -> Tree:
    """Given answers as the branches of their prompt, none of which ends: what a model thinks of them as a beginning."""
    coded = [template.encoder.plain(choice, follows=True) for choice in choices]
    branches = tuple(
        Branch(tuple(said), (True,) * len(said), ended=False, answer=place) for place, said in enumerate(coded)
    )
    return Tree(tuple(prompt), branches, group=group)


def judge(
    template: Template, *, max_length: int, learn_from: LearnFrom = None
) -> Callable[[Group], tuple[str, dict[str, int]]]:
    """A function that says why a row would be refused here (empty where it would not), and counts what is cut."""

    def told(group: Group) -> tuple[str, dict[str, int]]:
        report = trees([group], template, max_length=max_length, learn_from=learn_from, on_too_long="skip", least=0)
        counts = {"cut": report.cut, "shortened": report.shortened, "equal": report.equal}
        return (report.skipped[0] if report.skipped else ""), counts

    return told
