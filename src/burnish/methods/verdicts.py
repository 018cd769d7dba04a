"""The verdicts on several models, each beside the first one: by a judge's scores, or by people.

Of several models each interval is as wide as `each_of` says, so that all of them hold at once in 95 % of cases.

People see each model's answers beside the first model's, two by two, blind to whose they are. What the passes over the
models found is kept in `measured.json` before anybody is asked: a stage that waits for people computes nothing twice,
and whoever comes back later judges the same answers.
"""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from hashlib import sha256
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING

from burnish.data.secrets import masked
from burnish.errors import DataError
from burnish.evaluation.intervals import each_of
from burnish.evaluation.verdict import Measured, Table, longer, opinion, verdict
from burnish.methods.people import PeopleConfig, judged_by_people, judgements
from burnish.methods.scoring import Scores
from burnish.training.checkpoint import write_durably
from burnish.training.config import StageConfig
from burnish.training.identity import NOT_IDENTITY, refuse_another
from burnish.types import Answer, Group

if TYPE_CHECKING:
    from burnish.feedback.records import Item

MEASURED = "measured.json"
RESAMPLES = 2000  # at ten models the end of an interval is a quantile of 0.0028: some six of them lie beyond


@dataclass(frozen=True, slots=True)
class Compared:
    """What every model answered, the first of which is the one to beat. `asked`: the index of each row's prompt."""

    measured: Mapping[str, Measured]
    asked: Sequence[int]


def identity_of(config: PeopleConfig, groups: Sequence[Group], models: Mapping[str, str]) -> dict[str, str]:
    """What must be alike for `measured.json` to be gone on from. Who judges, and how many, may change."""
    others = {"suite", "limit"}  # the suite is asked apart from what people judge
    people = (set(PeopleConfig.model_fields) - set(StageConfig.model_fields)) | NOT_IDENTITY | others
    prompts = sha256(repr([group.prompt for group in groups]).encode("utf-8", "surrogatepass")).hexdigest()
    settings = json.dumps(masked(config.model_dump(mode="json", exclude=people)), sort_keys=True)
    return {"settings": settings, "prompts": prompts, **{f"models.{name}": model for name, model in models.items()}}


def kept(out: Path, identity: Mapping[str, str]) -> Compared | None:
    """What an earlier call measured in this folder. Raises ConfigError where that was something else."""
    file = out / MEASURED
    if not file.exists():
        return None
    stored = json.loads(file.read_text(encoding="utf-8"))
    refuse_another(stored["identity"], identity, f"{file} was measured under other settings")
    return Compared({name: Measured(**one) for name, one in stored["measured"].items()}, stored["asked"])


def keep(out: Path, identity: Mapping[str, str], found: Compared) -> None:
    measured = {name: asdict(one) for name, one in found.measured.items()}
    write_durably(out / MEASURED, json.dumps({"identity": identity, "asked": found.asked, "measured": measured}))


def by_scores(found: Compared, given: Mapping[str, Scores]) -> dict[str, dict[str, float | None]]:
    """Each model's verdict by a judge's scores, and by what each of several judges says by itself.

    Three models or more also have a `strength`, from all of them compared with each other. A judge of pairs compared
    each with the first alone, so there it has none.
    """
    baseline = next(iter(found.measured))
    first, level = found.measured[baseline], each_of(len(found.measured) - 1)
    figures = {
        name: verdict(one, first, level=level).figures()
        | by_part(given[name], given[baseline], longer(one, first), level)
        for name, one in found.measured.items()
    }
    pairs = any(judged.consistency is not None for judged in given[baseline].judged.values())
    if len(figures) > 2 and not pairs:
        from burnish.evaluation.strengths import strengths  # here: two models need no choix
        from burnish.feedback.agreement.bootstrap import Bootstrap

        table = {name: scores.total for name, scores in given.items()}
        for name, one in strengths(table, Bootstrap(RESAMPLES, level)).items():
            figures[name] |= {"strength": one.value, "strength_low": one.low, "strength_high": one.high}
    return figures


def by_part(scores: Scores, baseline: Scores, longer_GK: Table, level: float) -> dict[str, float | None]:
    """What each of several judges says by itself: `win_rate/NAME` and the others of its opinion; and how often a judge
    of pairs named the same answer in both orders, null where it was asked about no pair."""
    said = {name: opinion(rows, baseline.parts[name], longer_GK, level=level) for name, rows in scores.parts.items()}
    figures = {f"{figure}/{name}": value for name, one in said.items() for figure, value in asdict(one).items()}
    return {name: None if math.isnan(value) else value for name, value in (figures | scores.reliability()).items()}


def pairs_of(groups: Sequence[Group], found: Compared) -> dict[str, "Item"]:
    """What people compare, by name: an answer beside the first model's of the same number, if it is another text."""
    from burnish.feedback.records import Item

    baseline, *others = found.measured
    first = found.measured[baseline].answer_GK
    items: dict[str, Item] = {}
    for name in others:
        for place, rows in enumerate(zip(found.measured[name].answer_GK, first, strict=True)):
            for k, texts in enumerate(zip(*rows, strict=True)):
                if texts[0] == texts[1]:
                    continue
                answers = tuple(Answer(text, source=who) for text, who in zip(texts, (name, baseline), strict=True))
                id_ = item_name(name, place, k)
                items[id_] = Item(Group(groups[found.asked[place]].prompt, answers, id=id_), task="pair")
    return items


def by_people(
    groups: Sequence[Group], found: Compared, config: PeopleConfig, out: Path
) -> dict[str, dict[str, float | None]]:
    """Each model's verdict by what people say of its answers, once they have said enough.

    Two answers of one text tie, and nobody is asked. Where two people judged one pair, it counts as the mean of both.
    `verdicts`: what people said of this model; `annotators`: how many did. Raises as `judged_by_people`, and DataError
    where nobody judged a model's answers.
    """
    baseline, *others = found.measured
    level = each_of(len(others))
    first = found.measured[baseline].answer_GK
    items = pairs_of(groups, found)
    won = {
        name: [
            [[] if item_name(name, place, k) in items else [0.5] for k in range(len(answer_K))]
            for place, answer_K in enumerate(found.measured[name].answer_GK)
        ]
        for name in others
    }
    if items:
        judged_by_people(list(items.values()), config, out)
    verdicts = judgements(out) if items else []
    for one in verdicts:
        name, place, k = item_named(one.item)
        won[name][place][k].append(0.5 * (1 + (one.place_K[0] < one.place_K[1]) - (one.place_K[0] > one.place_K[1])))
    ties = [[0.5 for _ in answer_K] for answer_K in first]
    figures = {baseline: verdict(found.measured[baseline], found.measured[baseline], ties, level=level).figures()}
    for name in others:
        rows = [[fmean(values) if values else math.nan for values in row] for row in won[name]]
        if all(math.isnan(value) for row in rows for value in row):
            raise DataError(f"{out}: nobody judged an answer of {name}; raise `enough`, and run the same command again")
        figures[name] = verdict(found.measured[name], found.measured[baseline], rows, level=level).figures()
    for name, told in figures.items():
        own_verdicts = [one for one in verdicts if item_named(one.item)[0] == name]
        told["verdicts"] = float(len(own_verdicts))
        told["annotators"] = float(len({one.annotator for one in own_verdicts}))
    return figures


def item_name(name: str, place: int, k: int) -> str:
    """What an item of a model's answer k to the prompt at `place` is called in the store."""
    return f"{name}/{place + 1}/{k + 1}"


def item_named(id_: str) -> tuple[str, int, int]:
    name, place, k = id_.rsplit("/", 2)
    return name, int(place) - 1, int(k) - 1
