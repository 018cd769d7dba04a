"""Texts for pretraining become rows of tokens, one text after the other."""

from collections.abc import Iterator, Sequence

from burnish.batch.trees import TreeReport
from burnish.data.templates import Template
from burnish.errors import DataError
from burnish.types import Branch, Group, Tree

ENCODED_AT_ONCE = 256  # documents handed to the tokenizer together


def text_trees(groups: Sequence[Group], template: Template, *, max_length: int) -> TreeReport:
    """Texts for pretraining, joined and cut into rows of exactly `max_length` tokens (the last may be shorter).

    Each text is followed by the end-of-text token (and led by the begin token, where the tokenizer has one that it
    puts before every text; nothing is to predict that one). A row has no prompt, and its first token is not learned,
    because nothing stands before it. `group` and `origin` are those of the first text in the row.
    """
    rows: list[Tree] = []
    tokens: list[int] = []
    learned: list[bool] = []
    first: list[int] = []
    for index, said in _documents(groups, template):
        begin = len(template.encoder.begin)
        tokens += [*template.encoder.begin, *said, template.text_end]
        learned += [False] * begin + [True] * (len(said) + 1)
        first += [index] * (begin + len(said) + 1)
        while len(tokens) >= max_length:
            rows.append(_row(groups, tokens[:max_length], learned[:max_length], first[0], template))
            del tokens[:max_length], learned[:max_length], first[:max_length]
    if len(tokens) > 1:
        rows.append(_row(groups, tokens, learned, first[0], template))
    if not rows:
        raise DataError(f"{len(groups)} texts hold no token to learn")
    return TreeReport([row for row in rows if any(row.branches[0].learned)])


def _row(
    groups: Sequence[Group], tokens: Sequence[int], learned: Sequence[bool], index: int, template: Template
) -> Tree:
    branch = Branch(tuple(tokens), (False, *learned[1:]), ended=tokens[-1] == template.text_end)
    return Tree((), (branch,), group=index, id=groups[index].id, origin=groups[index].origin)


def _documents(groups: Sequence[Group], template: Template) -> Iterator[tuple[int, list[int]]]:
    for start in range(0, len(groups), ENCODED_AT_ONCE):
        part = groups[start : start + ENCODED_AT_ONCE]
        for group in part:
            if group.prompt != "" or len(group.answers) != 1:
                raise DataError(
                    f'{group.origin}: pretraining reads texts; found a prompt; give a file of {{"text"}} rows'
                )
        encoded = template.encoder.plain_batch([group.answers[0].text for group in part])
        for offset, said in enumerate(encoded):
            yield start + offset, said
