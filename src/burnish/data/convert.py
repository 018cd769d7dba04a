"""Records of one kind made into another, and written as JSON lines that `read` takes back.

to             from
prompt         every kind but text: what was asked
demonstration  comparison and ranking (the best answer), sample (one answer, or the best score), judgement (label true)
comparison     ranking and scored sample: each pair that the order decides
ranking        comparison, scored sample
judgement      comparison (true, false), ranking with `acceptable`, scored sample
"""

import csv
import gzip
import io
import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from burnish.data.fields import order_of_ranks
from burnish.data.formats import KINDS
from burnish.errors import ConfigError, DataError, WriteFailed
from burnish.types import Answer, Group, Message, Prompt

FORMULA = ("=", "+", "-", "@", "\t", "\r")
"""What a spreadsheet takes for the beginning of a formula, and would run."""

Step = Callable[[Group], Iterator[Group]]


def to_kind(groups: Sequence[Group], kind: str, wanted: str, name: str = "data") -> list[Group]:
    """The groups as records of the wanted kind. Raises DataError where the kind they have cannot say it."""
    if wanted not in KINDS:
        raise ConfigError(f"kind: {wanted}: no such kind; choose one of {', '.join(KINDS)}")
    if wanted == kind:
        return list(groups)
    step = _STEPS.get((kind, wanted))
    if step is None:
        possible = sorted(to for source, to in _STEPS if source == kind)
        raise DataError(
            f"{name}: holds {kind} records, and {wanted} records cannot be made of them; "
            f"they can become {', '.join(possible) or 'nothing else'}"
        )
    made = [after for group in groups for after in step(group)]
    if wanted == "prompt":
        made = list({(group.id, repr(group.prompt)): group for group in made}.values())
    if groups and not made:
        raise DataError(
            f"{name}: no {kind} record says enough to become a {wanted}; {_WANTING.get(wanted, 'add more')}"
        )
    return made


_WANTING = {
    "demonstration": "sampled answers need scores, judgements a label that is true",
    "comparison": "every ranking is one single tie, or the samples have no scores",
    "ranking": "the samples have no scores",
    "judgement": "rankings need `acceptable`, samples need scores",
}


def _asked(group: Group) -> Iterator[Group]:
    yield replace(group, answers=(), order=None, margin=None)


def _only(group: Group, index: int, *, label: bool | None = None, told: str = "") -> Group:
    answer = group.answers[index] if label is None else replace(group.answers[index], label=label)
    return replace(group, answers=(answer,), order=None, margin=None, id=f"{group.id}{told}")


def _best(group: Group) -> Iterator[Group]:
    if group.order:
        yield _only(group, group.order[0][0])


def _best_sample(group: Group) -> Iterator[Group]:
    ranked = _scored(group)
    if len(group.answers) == 1:
        yield _only(group, 0)
    elif ranked is not None:
        yield from _best(ranked)


def _scored(group: Group) -> Group | None:
    """A sample ordered by its scores, the highest first."""
    scores = [answer.score for answer in group.answers if answer.score is not None]
    if len(scores) != len(group.answers):
        return None
    return replace(group, order=order_of_ranks([-score for score in scores]))


def _ranked_sample(group: Group) -> Iterator[Group]:
    ranked = _scored(group)
    if ranked is not None and len(ranked.answers) > 1:
        yield ranked


def _pairs(group: Group) -> Iterator[Group]:
    order = group.order or ()
    for place, tied in enumerate(order):
        for better in tied:
            for worse in (answer for below in order[place + 1 :] for answer in below):
                told = "" if len(group.answers) == 2 else f"#{better}>{worse}"
                pair = (group.answers[better], group.answers[worse])
                yield replace(group, answers=pair, order=((0,), (1,)), id=f"{group.id}{told}")


def _sample_pairs(group: Group) -> Iterator[Group]:
    for ranked in _ranked_sample(group):
        yield from _pairs(ranked)


def _accepted(group: Group) -> Iterator[Group]:
    """A ranking's first `acceptable` places are good answers, the others are not; of a comparison, the first is."""
    acceptable = group.extra.get("acceptable", 1 if len(group.answers) == 2 and len(group.order or ()) == 2 else None)
    if acceptable is None:
        return
    for place, tied in enumerate(group.order or ()):
        for answer in tied:
            yield _only(group, answer, label=place < acceptable, told=f"#{answer}")


def _scored_each(group: Group) -> Iterator[Group]:
    for index, answer in enumerate(group.answers):
        if answer.score is not None:
            yield _only(group, index, told=f"#{index}")


def _liked(group: Group) -> Iterator[Group]:
    if group.answers[0].label:
        yield _only(group, 0)


def _same(group: Group) -> Iterator[Group]:
    yield group


_STEPS: Mapping[tuple[str, str], Step] = {
    **{(kind, "prompt"): _asked for kind in KINDS if kind not in ("text", "prompt")},
    ("comparison", "demonstration"): _best,
    ("ranking", "demonstration"): _best,
    ("sample", "demonstration"): _best_sample,
    ("judgement", "demonstration"): _liked,
    ("comparison", "ranking"): _same,
    ("sample", "ranking"): _ranked_sample,
    ("ranking", "comparison"): _pairs,
    ("sample", "comparison"): _sample_pairs,
    ("comparison", "judgement"): _accepted,
    ("ranking", "judgement"): _accepted,
    ("sample", "judgement"): _scored_each,
}


# ---- groups as JSON lines


def record(group: Group, kind: str) -> dict[str, Any]:
    """The group as a row of our own format of that kind. `read` makes the same group of it."""
    made = {"id": group.id} if group.id and group.id != group.origin else {}
    made |= _FIELDS[kind](group)
    return {**{name: value for name, value in group.extra.items() if name not in made}, **made}


def _message(message: Message) -> dict[str, Any]:
    return {"role": message.role, "content": message.content, **message.extra}


def _prompt(prompt: Prompt) -> Any:
    return prompt if isinstance(prompt, str) else [_message(message) for message in prompt]


def _said(answer: Answer) -> Any:
    """A text, or messages where the turn holds more than text or the conversation goes on."""
    if not answer.later and not answer.extra:
        return answer.text
    return [_message(Message("assistant", answer.text, answer.extra)), *(_message(turn) for turn in answer.later)]


def _sampled(group: Group) -> dict[str, Any]:
    """What was sampled, one entry an answer, where every answer has it."""
    columns: dict[str, list[Any]] = {
        "tokens": [answer.tokens for answer in group.answers],
        "logprobs": [answer.logprobs for answer in group.answers],
        "finished": [answer.finished for answer in group.answers],
    }
    return {name: values for name, values in columns.items() if values and None not in values}


def _sources(group: Group) -> dict[str, Any]:
    sources = [answer.source for answer in group.answers]
    return {"sources": sources} if sources and None not in sources and "model" not in group.extra else {}


def _scores(group: Group) -> dict[str, Any]:
    scores = [answer.score for answer in group.answers]
    return {"scores": scores} if scores and None not in scores else {}


def _text_fields(group: Group) -> dict[str, Any]:
    return {"text": group.answers[0].text}


def _prompt_fields(group: Group) -> dict[str, Any]:
    return {"prompt": _prompt(group.prompt)}


def _demonstration_fields(group: Group) -> dict[str, Any]:
    (answer,) = group.answers
    return {"prompt": _prompt(group.prompt), "response": _said(answer), **_sampled(group)}


def _comparison_fields(group: Group) -> dict[str, Any]:
    chosen, rejected = group.answers
    margin = {} if group.margin is None else {"margin": group.margin}
    said = {"prompt": _prompt(group.prompt), "chosen": _said(chosen), "rejected": _said(rejected)}
    return said | margin | _sampled(group) | _scores(group)


def _answers(group: Group) -> dict[str, Any]:
    said = [answer.text for answer in group.answers]
    return {"prompt": _prompt(group.prompt), "answers": said, **_sampled(group), **_sources(group), **_scores(group)}


def _ranking_fields(group: Group) -> dict[str, Any]:
    if any(answer.later or answer.extra for answer in group.answers):
        raise DataError(f"{group.origin}: answers of several turns cannot be written as a ranking; write a comparison")
    return {**_answers(group), "ranking": [list(tied) for tied in group.order or ()]}


def _sample_fields(group: Group) -> dict[str, Any]:
    known = next((answer.source for answer in group.answers if answer.source), "unknown")
    return {**_answers(group), "model": group.extra.get("model", known), "seed": group.extra.get("seed", 0)}


def _judgement_fields(group: Group) -> dict[str, Any]:
    (answer,) = group.answers
    judged = {"label": answer.label, "score": answer.score}
    given = {name: value for name, value in judged.items() if value is not None}
    return {"prompt": _prompt(group.prompt), "response": _said(answer), **given, **_sampled(group)}


_FIELDS: Mapping[str, Callable[[Group], dict[str, Any]]] = {
    "text": _text_fields,
    "prompt": _prompt_fields,
    "demonstration": _demonstration_fields,
    "comparison": _comparison_fields,
    "ranking": _ranking_fields,
    "sample": _sample_fields,
    "judgement": _judgement_fields,
}


def write(groups: Iterable[Group], kind: str, path: str | Path) -> int:
    """Write groups as JSON lines (gzipped where the name ends in .gz) and return how many. The file appears whole."""
    if kind not in KINDS:
        raise ConfigError(f"kind: {kind}: no such kind; choose one of {', '.join(KINDS)}")
    return write_rows((record(group, kind) for group in groups), path)


def _csv_line(cells: Sequence[Any]) -> bytes:
    line = io.StringIO()
    csv.writer(line).writerow(f"'{c}" if isinstance(c, str) and c.startswith(FORMULA) else c for c in cells)
    return line.getvalue().encode("utf-8", "replace")


def write_rows(rows: Iterable[Mapping[str, Any]], path: str | Path, *, columns: Sequence[str] = ()) -> int:
    """Write rows as `write` does; as one array where the name ends in .json or .json.gz. `columns`: as CSV with these.

    In CSV a text that a spreadsheet would run as a formula (it begins with = + - @, a tab or a return) gets an
    apostrophe before it, which spreadsheets take for "this is text".
    """
    where = Path(path)
    aside = where.with_name(f".{where.name}.part-{os.getpid()}")
    array = where.name.removesuffix(".gz").endswith(".json")
    count = 0
    try:
        where.parent.mkdir(parents=True, exist_ok=True)
        with aside.open("wb") as raw:
            # no name and no time in the gzip header: equal rows make an equal file
            with gzip.GzipFile("", "wb", fileobj=raw, mtime=0) if where.name.endswith(".gz") else raw as stream:
                if columns:
                    stream.write(_csv_line(columns))
                for row in rows:
                    if columns:
                        stream.write(_csv_line([row.get(name) for name in columns]))
                        count += 1
                        continue
                    line = json.dumps(row, ensure_ascii=False, allow_nan=False, default=str)
                    before = (b",\n" if count else b"[\n") if array else b""
                    stream.write(before + line.encode() + (b"" if array else b"\n"))
                    count += 1
                if array:
                    stream.write(b"\n]\n" if count else b"[]\n")
                stream.flush()
            if not raw.closed:
                os.fsync(raw.fileno())
        aside.replace(where)
    except ValueError:
        raise DataError(f"{where}: row {count + 1} holds a number that is not finite; it cannot be written") from None
    except OSError as error:
        raise WriteFailed(f"{where}: cannot be written ({error.strerror}); name another place") from None
    finally:
        aside.unlink(missing_ok=True)
    return count
