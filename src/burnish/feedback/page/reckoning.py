"""What the lead's page shows of a store: `python -m burnish.feedback.page.reckoning STORE`.

The figures are those of `burnish rank stats`. They take seconds of arithmetic, and in the server, in whatever thread,
every annotator's request would wait for them; so a process of its own computes them, at low priority, and prints them
as JSON.
"""

import json
import os
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

from burnish.data.strict_json import finite
from burnish.errors import DataError
from burnish.feedback.calibration import calibration
from burnish.feedback.page.shown import visible
from burnish.feedback.store import Store

MOST_ROWS = 20  # of pairs of annotators and of blocks, those that agree least


def reckon(path: Path) -> dict[str, Any]:
    """All of it, as JSON can say it: NaN is null, names are as they may be shown.

    `state`: the store's when it was read. `statistics`: `Statistics.figures()` without its long lists, None where
    nothing is ranked. `calibration`: how annotators practised, which they do before anything is ranked. `queue`: ids of
    disputed items, the worst first. `names`: alias → name. `counts`, `progress`: of items and of everyone who was
    invited.
    """
    from burnish.feedback.agreement.bootstrap import Bootstrap  # here: the server imports this module, and not scipy
    from burnish.feedback.agreement.statistics import statistics

    with Store.open(path) as store:
        state = store.state()  # before the rankings: what is saved in between makes the next reckoning
        people = store.progress_all()
        counts = store.counts()
        rankings = list(store.rankings())
        practised = {alias: asdict(one) for alias, one in calibration(rankings).items()}
        try:
            found = statistics(rankings, Bootstrap())
        except DataError:  # no rankings yet
            figures, queue = None, []
        else:
            queue = [one.item for one in found.disputes]
            figures = found.figures() | {"disputes": len(queue), "next_items": []}
            del figures["calibration"]
            least = sorted(figures["two_annotators"], key=lambda two: (two["tau_b"] != two["tau_b"], two["tau_b"]))
            figures |= {"two_annotators": least[:MOST_ROWS], "blocks": figures["blocks"][:MOST_ROWS]}
            if figures["systems"] is not None:
                strengths = figures["systems"]["strengths"]
                figures["systems"]["strengths"] = {visible(name): one for name, one in strengths.items()}
    progress = [
        {"name": visible(one.annotator.name), "rankings": one.rankings, "skipped": one.skipped, "left": one.left,
         "open": one.open, "last": one.last}
        for one in people
    ]  # fmt: skip
    names = {one.annotator.alias: visible(one.annotator.name) for one in people}
    made = {"state": state, "statistics": figures, "queue": queue, "names": names, "counts": counts}
    return {name: finite(value) for name, value in made.items()} | {"progress": progress, "calibration": practised}


def main() -> None:
    os.nice(10)
    print(json.dumps(reckon(Path(sys.argv[1])), allow_nan=False))


if __name__ == "__main__":
    main()
