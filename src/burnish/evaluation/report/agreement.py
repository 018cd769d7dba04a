"""How far the people agree who ranked in a run: docs/agreement.md explains each figure.

Rankings that people made on the page lie in the stage's store, those that came in a file in its `ranking.jsonl`, each
with its annotator. The store is read from a copy: to open it may bring it to another version's tables, and a report
changes nothing.
"""

import math
import sqlite3
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from burnish.evaluation.report.parts import Page, beside, table
from burnish.evaluation.report.run import Run, StageRecord
from burnish.evaluation.report.svg import escaped
from burnish.evaluation.report.words import Words, between, number

if TYPE_CHECKING:
    from burnish.feedback.agreement.bootstrap import Estimate
    from burnish.feedback.agreement.verdicts import Verdicts
    from burnish.feedback.records import Ranking

STORE, RANKING = "rankings.db", "ranking.jsonl"


@dataclass(frozen=True, slots=True)
class Agreement:
    """Figures by the key of their words, each with its interval; `people`: annotator → what they did, where known."""

    rankings: int
    items: int
    items_with_two: int
    figures: Mapping[str, "Estimate"]
    people: Mapping[str, Mapping[str, str]]


def people(run: Run, page: Page) -> str:
    return "".join(_section(stage, found, page.say) for stage in run.stages if (found := agreement(run.folder, stage)))


def agreement(folder: Path, stage: StageRecord) -> Agreement | None:
    """What people's rankings in a stage say; None where no people ranked in it, or nobody knows who."""
    if (store := folder / stage.name / STORE).is_file():
        return _of_store(store)
    ranking = folder / stage.name / RANKING
    if stage.method == "rank" and stage.inputs.get("data") and ranking.is_file():
        return _of_file(ranking)
    return None


def _of_store(path: Path) -> Agreement | None:
    from burnish.feedback.agreement.verdicts import readings, verdicts
    from burnish.feedback.records import ANNOTATED
    from burnish.feedback.store import Store

    with TemporaryDirectory() as aside:
        copied = Path(aside) / path.name
        with closing(sqlite3.connect(path)) as source, closing(sqlite3.connect(copied)) as target:
            source.execute("PRAGMA query_only = ON")  # mode=ro would leave the files of its log behind
            source.backup(target)
        with Store.open(copied) as store:
            ranked = list(store.rankings(layers=ANNOTATED))
    by_item = readings(ranked)
    if not by_item:
        return None
    given = [len(by_annotator) for by_annotator in by_item.values()]
    return Agreement(len(ranked), len(given), sum(n > 1 for n in given), _figures(verdicts(by_item)), _people(ranked))


def _of_file(path: Path) -> Agreement | None:
    from burnish.data.read import read
    from burnish.feedback.agreement.verdicts import annotator, verdicts_of_groups

    groups = [group for group in read(path, kind="ranking") if annotator(group) is not None]
    if len({annotator(group) for group in groups}) < 2:
        return None
    said = verdicts_of_groups(groups)
    by_item: dict[int, set[int]] = {}
    for who, unit in zip(said.annotator_V.tolist(), said.unit_V.tolist(), strict=True):
        by_item.setdefault(int(said.item_U[unit]), set()).add(who)
    counted = Counter(str(annotator(group)) for group in groups)
    each = {name: {"people.rankings": number(count, 0)} for name, count in sorted(counted.items())}
    two = sum(len(names) > 1 for names in by_item.values())
    return Agreement(len(groups), len(by_item), two, _figures(said), each)


def _figures(said: "Verdicts") -> dict[str, "Estimate"]:
    from burnish.feedback.agreement.bootstrap import Bootstrap
    from burnish.feedback.agreement.ceiling import people_ceiling
    from burnish.feedback.agreement.coefficients import alpha_of_pairs, pair_agreement

    bootstrap = Bootstrap()
    pairs = pair_agreement(said, bootstrap)
    return {
        "people.alpha": alpha_of_pairs(said, bootstrap, "ordinal"),
        "people.alpha_nominal": alpha_of_pairs(said, bootstrap, "nominal"),
        "people.with_ties": pairs.with_ties,
        "people.without_ties": pairs.without_ties,
        "people.ceiling": people_ceiling(said, bootstrap),
    }


def _people(ranked: Sequence["Ranking"]) -> dict[str, dict[str, str]]:
    from burnish.feedback.agreement.coefficients import gold_accuracy, self_consistency
    from burnish.feedback.agreement.conduct import conduct

    gold, again = gold_accuracy(ranked), self_consistency(ranked)
    return {
        name: {
            "people.rankings": number(one.rankings, 0),
            "people.seconds": number(one.median_seconds, 0),
            "people.too_fast": number(one.too_fast, 0),
            "people.ties": _share(one.tie_rate),
            "people.repeats": _share(again[name].with_ties) if name in again else "–",
            "people.gold": f"{gold[name].right}/{gold[name].items}" if name in gold else "–",
        }
        for name, one in conduct(ranked).items()
    }


def _share(value: float) -> str:
    return "–" if math.isnan(value) else f"{100 * value:.0f}"


def _section(stage: StageRecord, found: Agreement, say: Words) -> str:
    about = say(
        "people.about",
        people=len(found.people),
        items=found.items,
        rankings=found.rankings,
        two=found.items_with_two,
        stage=stage.name,
    )
    title = escaped(say("people.title", stage=stage.name))
    made = _table_of_figures(found, say) if found.items_with_two else f"<p>{escaped(say('people.alone'))}</p>"
    columns = list(next(iter(found.people.values()), {}))
    head = [escaped(say("people.who")), *(escaped(say(column)) for column in columns)]
    rows = [[escaped(name), *(escaped(one[column]) for column in columns)] for name, one in found.people.items()]
    each = table(head, rows, say("people.each"))
    return f'<section><h2>{title}</h2><p class="aside">{escaped(about)}</p>{made}{each}</section>'


def _table_of_figures(found: Agreement, say: Words) -> str:
    head = [escaped(say(name)) for name in ("people.figure", "people.value", "people.between", "people.rests_on")]
    rows = []
    for key, one in found.figures.items():
        alpha = key.startswith("people.alpha")
        scale, digits = (1, 2) if alpha else (100, 0)
        value = number(one.value, 2) if alpha else say.percent(None if math.isnan(one.value) else one.value)
        ends = between(scale * one.low, scale * one.high, digits)
        rests = say("people.items" if alpha else "people.prompts", count=one.clusters)
        rows.append([beside(say(key), say(f"{key}.means")), escaped(value), escaped(ends), escaped(rests)])
    return table(head, rows, say("people.agreement"))
