"""A judge fills the store: its items go out as samples, the stage `rank` puts them in order, the orders come back.

The judge's rankings stand in a layer of their own under its name and the beginning of its hash: a reward model that was
trained anew is another judge, and so is a language model with another rubric.
"""

import json
from collections.abc import Mapping
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import Any

from burnish.data.convert import write
from burnish.data.read import read
from burnish.data.strict_json import parse
from burnish.errors import DataError
from burnish.feedback.imports import given
from burnish.feedback.store import Store
from burnish.types import Group


def write_items(store: Store, path: Path) -> int:
    """Every item as a sample that a judge reads; returns how many. Raises DataError where there is none."""
    count = write((_sample(item.group) for item in store.items()), "sample", path)
    if not count:
        raise DataError(f"{store.path}: holds no item to judge; import some: burnish rank import FILE --store S")
    return count


def _sample(group: Group) -> Group:
    if any(answer.later for answer in group.answers):
        raise DataError(f"item {group.id}: an answer of several turns cannot be judged in a store; judge its file")
    return group


def take_in(store: Store, ranked: Path, by: Any) -> dict[str, int]:
    """The rankings that `rank` wrote to `ranked`, into the store: how many were added, how many were there already."""
    judge = name_of(ranked, by)
    rankings = []
    for group in read(ranked, kind="ranking"):
        row = given(group, group.id, group)
        scores = [answer.score for answer in group.answers]
        said = {} if None in scores else {"scores": scores}
        rankings.append(replace(row, annotator=judge, layer="judge", extra={**row.extra, **said}))
    return store.add_rankings(rankings)


def name_of(ranked: Path, by: Any) -> str:
    """What `by` says, and the hash of what it names where the stage noted one; of a judge with settings, of all."""
    noted = ranked.with_name(f".{ranked.name}.burnish") / "inputs.json"
    value = parse(noted.read_text(encoding="utf-8"))["inputs"].get("by")
    if not isinstance(by, str):
        return f"{_spelled(by)}@{sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:12]}"
    digest = value.get("sha256") if isinstance(value, dict) else None
    return f"{_spelled(by)}@{digest[:12]}" if isinstance(digest, str) else _spelled(by)


def _spelled(by: Any) -> str:
    """Whom `by` names, without the query of an address, where secrets stand."""
    if isinstance(by, list):
        return "+".join(map(_spelled, by))
    if isinstance(by, Mapping):
        return str(by.get("name") or _spelled(by.get("judge", by.get("by"))))
    return str(by).partition("?")[0]
