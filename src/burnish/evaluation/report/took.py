"""What a run took: each stage's time and its share, its pace, its memory and, at a price an hour, its cost."""

import math

from burnish.evaluation.report.parts import Page, table
from burnish.evaluation.report.result import moment
from burnish.evaluation.report.run import Run, StageRecord
from burnish.evaluation.report.svg import escaped
from burnish.evaluation.report.words import number


def took(run: Run, page: Page) -> str:
    say, price = page.say, page.price
    known = [stage.seconds for stage in run.stages if stage.seconds is not None]
    if not known:
        return ""
    total = math.fsum(known)
    names = ["stage", "took.time", "took.share", "took.pace", "took.memory", *(["took.cost"] if price else [])]
    head = [escaped(say(name)) for name in [*names, "took.finished"]]
    rows = [[escaped(stage.name), *_cells(stage, total, page)] for stage in run.stages]
    paid = [escaped(cost(total, price))] if price else []
    rows.append([f"<b>{escaped(say('took.all'))}</b>", f"<b>{escaped(say.duration(total))}</b>", "", "", "", *paid, ""])
    about = say("took.about") + (say("took.price", price=number(price, 2)) if price else "")
    return (
        f"<section><h2>{escaped(say('took.title'))}</h2>{table(head, rows, say('took.title'))}"
        f'<p class="small">{escaped(about)}</p></section>'
    )


def _cells(stage: StageRecord, total: float, page: Page) -> list[str]:
    say, price, seconds = page.say, page.price, stage.seconds
    cells = [say.duration(seconds), say.percent(seconds / total)] if seconds is not None and total else ["–", "–"]
    cells += [number(pace(stage), 0), number(memory(stage), 2)]
    cells += [cost(seconds, price) if seconds is not None else "–"] if price else []
    return [escaped(cell) for cell in [*cells, moment(stage.finished) or say("chain.not_done")]]


def pace(stage: StageRecord) -> float | None:
    """Tokens a second over all steps; None where steps do not tell."""
    rows = [row for row in stage.metrics if row.get("seconds") and "tokens" in row]
    return math.fsum(row["tokens"] for row in rows) / math.fsum(row["seconds"] for row in rows) if rows else None


def memory(stage: StageRecord) -> float | None:
    """The most memory in GB that any of its steps told."""
    return max((row["peak_gb"] for row in stage.metrics if "peak_gb" in row), default=None)


def cost(seconds: float, price: float) -> str:
    return number(seconds / 3600 * price, 2)
