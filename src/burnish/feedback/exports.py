"""From the store to files: rankings, comparisons and judgements that burnish trains on, Label Studio's and Argilla's.

A file tells of each ranking who made it (by alias), how sure and how fast they were, why the item was asked and with
which propensity. Repeats and gold items check annotators: they are left out unless they are asked for, since a prompt
that everybody ranked would outweigh the others.
"""

import json
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from burnish.data.convert import record, to_kind, write_rows
from burnish.data.split import split_by_prompt
from burnish.errors import ConfigError, DataError
from burnish.feedback.database.reading import Standing, standing
from burnish.feedback.records import UNKNOWN, Layer
from burnish.feedback.store import Store
from burnish.types import Group

LAYERS: tuple[Layer, ...] = ("people", "imported", "adjudicated", "judge")
NO_JUDGE = LAYERS[:3]
FORMATS = ("ranking", "comparison", "judgement", "label-studio", "argilla", "csv")
COLUMNS = (
    "item", "prompt", "answer", "text", "source", "place", "acceptable", "flags", "annotator", "layer", "kind", "mode",
    "propensity", "confidence", "seconds",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Exported:
    """What was written: rows by file, and rankings that the format cannot say, by reason."""

    files: Mapping[str, int]
    left_out: Mapping[str, int]


def export(
    store: Store,
    out: Path,
    format: str = "ranking",  # noqa: A002  the option's own name
    *,
    split: float = 0.0,
    by: str = "prompt",
    seed: int = 0,
    layers: Collection[Layer] | None = None,
    checks: bool = False,
) -> Exported:
    """Write the rankings that stand, as JSON lines (a name that ends in .json: one array, as Label Studio imports it).

    `split`: the share of prompts held out, in a second file whose name has `.heldout` before its ending; `by`: prompt,
    or a column whose values stay together. `layers`: these and all of them; without, all but judges', and where a lead
    has decided an item, that decision alone. `checks`: repeats and gold items too. Raises DataError where nothing would
    be written, ConfigError for a format that is none, WriteFailed.
    """
    if format not in FORMATS:
        raise ConfigError(f"format: {format}: no such format; choose one of {', '.join(FORMATS)}")
    left_out: dict[str, int] = {}
    chosen: list[Standing] = []
    decided = {one.item for one in store.rankings(layers=["adjudicated"])} if layers is None else set()
    for one in standing(store.path, NO_JUDGE if layers is None else layers):
        if one.ranking.item in decided and one.ranking.layer != "adjudicated":
            _count(left_out, "decided by the lead: written with --layer")
        elif one.ranking.kind in ("repeat", "gold") and not checks:
            reason = f"{one.ranking.kind}: written with --checks"
            _count(left_out, reason)
        else:
            chosen.append(one)
    if not chosen:
        raise DataError(_nothing(store, layers or NO_JUDGE, left_out))
    files: dict[str, int] = {}
    for path, part in _parts(chosen, out, split, by, seed).items():
        rows = _ROWS[format](part, left_out)
        if part and not rows:
            raise DataError(f"{path}: no ranking can be said as {format}; {', '.join(left_out)}")
        files[str(path)] = write_rows(rows, path, columns=COLUMNS if format == "csv" else ())
    return Exported(files, left_out)


def _nothing(store: Store, layers: Collection[Layer], left_out: Mapping[str, int]) -> str:
    there = {layer: store.counts().get(f"rankings_{layer}", 0) for layer in LAYERS}
    found = ", ".join(f"{count} of layer {layer}" for layer, count in there.items() if count) or "none"
    return (
        f"{store.path}: no ranking of {', '.join(layers)} to write; the store has {found}"
        f"{''.join(f'; left out {count} ({reason})' for reason, count in left_out.items())}; choose with --layer"
    )


def _parts(chosen: Sequence[Standing], out: Path, split: float, by: str, seed: int) -> dict[Path, Sequence[Standing]]:
    if not split:
        return {out: chosen}
    groups = [one.group for one in chosen]
    _, held = split_by_prompt(groups, split, by=by, seed=seed)
    apart = {id(group) for group in held}
    return {
        out: [one for one in chosen if id(one.group) not in apart],
        heldout_name(out): [one for one in chosen if id(one.group) in apart],
    }


def heldout_name(out: Path) -> Path:
    """rankings.jsonl.gz → rankings.heldout.jsonl.gz"""
    stem, dot, ending = out.name.partition(".")
    return out.with_name(f"{stem}.heldout{dot}{ending}")


# ---- our own formats


def facts(one: Standing) -> dict[str, Any]:
    """What a row tells of the ranking besides its order. An imported row keeps what it said."""
    ranking = one.ranking
    told: dict[str, Any] = {
        "annotator": None if ranking.annotator == UNKNOWN else ranking.annotator,
        "layer": ranking.layer,
        "kind": ranking.kind,
        "propensity": ranking.propensity,
        "acceptable": ranking.acceptable,
        "confidence": ranking.confidence,
        "seconds": ranking.seconds,
        "flags": ranking.flag_K if any(ranking.flag_K) else None,
        **({} if ranking.layer == "imported" else {"mode": ranking.mode}),
    }
    return {name: value for name, value in told.items() if value is not None} | dict(one.extra)


def as_group(one: Standing) -> Group:
    """The ranking as a group, its facts among the columns that travel along."""
    known = facts(one)
    margin = known.pop("margin", None)
    return replace(one.group, extra={**one.group.extra, **known}, margin=margin, origin="")


def _rankings(part: Sequence[Standing], left_out: dict[str, int]) -> list[dict[str, Any]]:
    return [record(as_group(one), "ranking") for one in part]


def _comparisons(part: Sequence[Standing], left_out: dict[str, int]) -> list[dict[str, Any]]:
    """Each pair that a ranking decides, weighing 1 / decided pairs: a ranking of nine is one opinion and not 36."""
    made: list[dict[str, Any]] = []
    for one in part:
        group = as_group(one)
        pairs = _pairs_of(group)
        if not pairs:
            _count(left_out, "decides no pair")
        made += [{**record(pair, "comparison"), "weight": 1 / len(pairs)} for pair in pairs]
    return made


_OF_ALL = ("acceptable", "flags")
"""Facts by place or by answer of the whole ranking: beside one pair they would be wrong."""


def _pairs_of(group: Group) -> list[Group]:
    if len(group.order or ()) < 2:  # one single tie
        return []
    extra = {name: value for name, value in group.extra.items() if name not in _OF_ALL}
    return to_kind([replace(group, extra=extra)], "ranking", "comparison")


def _judgements(part: Sequence[Standing], left_out: dict[str, int]) -> list[dict[str, Any]]:
    """Each answer with the label that its side of the acceptable line gives it, weighing 1 / answers."""
    made: list[dict[str, Any]] = []
    for one in part:
        if one.ranking.acceptable is None:
            _count(left_out, "no line between acceptable and not")
            continue
        group = as_group(one)
        judged = to_kind([group], "ranking", "judgement")
        for answer in judged:
            extra = {name: value for name, value in answer.extra.items() if name not in _OF_ALL}
            made.append({**record(replace(answer, extra=extra), "judgement"), "weight": 1 / len(judged)})
    return made


def _count(left_out: dict[str, int], reason: str) -> None:
    left_out[reason] = left_out.get(reason, 0) + 1


# ---- other tools'


def _by_item(part: Sequence[Standing]) -> Iterator[list[Standing]]:
    items: dict[str, list[Standing]] = {}
    for one in part:
        items.setdefault(one.ranking.item, []).append(one)
    yield from items.values()


def _names(group: Group, taken: Collection[str]) -> list[str]:
    """What the answers are called there: by their sources where those are all known and differ, else by number."""
    sources = [answer.source for answer in group.answers]
    if None not in sources and len({*sources, *taken}) == len(sources) + len(taken):
        return [str(source) for source in sources]
    return [f"answer-{index + 1}" for index in range(len(sources))]


def _single_turns(group: Group) -> None:
    if any(answer.later or answer.extra for answer in group.answers):
        raise DataError(f"item {group.id}: answers of several turns cannot be written for other tools; choose ranking")


def _label_studio(part: Sequence[Standing], left_out: dict[str, int]) -> list[dict[str, Any]]:
    """A task an item, an annotation a ranking. Places are the buckets 1, 2, 3 …; where nothing ties, one list.

    Its Ranker cannot say that all answers tie (one bucket is an order): those rankings are left out and counted.
    """
    made = []
    for of_item in _by_item(part):
        group = of_item[0].group
        _single_turns(group)
        names = _names(group, ())
        annotations = []
        for one in of_item:
            order = one.group.order or ()
            if len(order) == 1:
                _count(left_out, "all answers tie, which Label Studio's Ranker cannot say")
                continue
            if len(order) == len(names):
                ranker: dict[str, list[str]] = {"rank": [names[answer] for (answer,) in order]}
            else:
                ranker = {str(place): [names[a] for a in tied] for place, tied in enumerate(order, 1)}
            result = {"from_name": "ranker", "to_name": "answers", "type": "ranker", "value": {"ranker": ranker}}
            seconds = {} if one.ranking.seconds is None else {"lead_time": one.ranking.seconds}
            annotations.append({"completed_by": {"email": one.ranking.annotator}, **seconds, "result": [result]})
        if annotations:
            items = [{"id": name, "body": answer.text} for name, answer in zip(names, group.answers, strict=True)]
            data = {"prompt": record(group, "ranking")["prompt"], "items": items}
            made.append({"id": group.id, "data": data, "annotations": annotations})
    return made


def _argilla(part: Sequence[Standing], left_out: dict[str, int]) -> list[dict[str, Any]]:
    """A record an item (version 2), its responses to the question `ranking`; equal ranks tie."""
    made = []
    for of_item in _by_item(part):
        group = of_item[0].group
        _single_turns(group)
        names = _names(group, ("prompt",))
        responses = []
        for one in of_item:
            ranks = [{"value": name, "rank": place + 1} for name, place in zip(names, one.ranking.place_K, strict=True)]
            responses.append({"user_id": one.ranking.annotator, "value": ranks, "status": "submitted"})
        said = {name: answer.text for name, answer in zip(names, group.answers, strict=True)}
        fields = {"prompt": record(group, "ranking")["prompt"], **said}
        made.append({"id": group.id, "fields": fields, "responses": {"ranking": responses}})
    return made


def _csv(part: Sequence[Standing], left_out: dict[str, int]) -> list[dict[str, Any]]:
    """A row an answer of a ranking: `place` 1 is best and equal places tie, `answer` is its number in the item.

    `acceptable` says on which side of the line the answer stands, empty where none was drawn.
    """
    made = []
    for one in part:
        group, ranking, known = one.group, one.ranking, facts(one)
        _single_turns(group)
        prompt = record(group, "ranking")["prompt"]
        said = prompt if isinstance(prompt, str) else json.dumps(prompt, ensure_ascii=False)
        flags = ranking.flag_K or ((),) * len(group.answers)
        for index, (answer, place) in enumerate(zip(group.answers, ranking.place_K, strict=True)):
            line = ranking.acceptable
            own = {
                "item": ranking.item,
                "prompt": said,
                "answer": index + 1,
                "text": answer.text,
                "source": answer.source,
                "place": place + 1,
                "acceptable": None if line is None else str(place < line).lower(),
                "flags": "; ".join(flags[index]),
            }
            made.append({**known, **own})
    return made


_ROWS: Mapping[str, Callable[[Sequence[Standing], dict[str, int]], list[dict[str, Any]]]] = {
    "ranking": _rankings,
    "comparison": _comparisons,
    "judgement": _judgements,
    "label-studio": _label_studio,
    "argilla": _argilla,
    "csv": _csv,
}
