"""What the lead's page shows of a store: `python -m burnish.feedback.page.reckoning STORE [SCORES [CURVE]]`.

The figures are those of `burnish rank stats`, with its `--scores` and `--curve` where these are given. They take
seconds of arithmetic, and in the server, in whatever thread, every annotator's request would wait for them; so a
process of its own computes them, at low priority, and prints them as JSON.
"""

import json
import os
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from burnish.data.strict_json import finite
from burnish.errors import BurnishError, ConfigError, DataError
from burnish.feedback.calibration import calibration
from burnish.feedback.page.shown import visible
from burnish.feedback.scores import scores_of
from burnish.feedback.store import Store

MOST_ROWS = 20  # of pairs of annotators and of blocks, those that agree least


@dataclass(frozen=True, slots=True)
class ModelFiles:
    """Files about a reward model: `scores` that it gave the store's answers, and the `curve` of its accuracy."""

    scores: Path | None = None
    curve: Path | None = None


def command(path: Path, beside: ModelFiles) -> list[str]:
    """What computes it in a process of its own; 0 and JSON, or an error's exit code and its words on stderr."""
    given = [str(file or "") for file in (path, beside.scores, beside.curve)]
    return [sys.executable, "-P", "-m", "burnish.feedback.page.reckoning", *given]


def reckon(path: Path, beside: ModelFiles = ModelFiles()) -> dict[str, Any]:
    """All of it, as JSON can say it: NaN is null, names are as they may be shown.

    `state`: the store's when it was read. `statistics`: `Statistics.figures()` without its long lists, None where
    nothing is ranked. `unscored`: there are scores, and none of an item that two annotators ranked. `calibration`: how
    annotators practised, which they do before anything is ranked. `queue`: ids of disputed items, the worst first.
    `names`: alias → name. `counts`, `progress`: of items and of everyone who was invited. Raises DataError, ConfigError
    for files that are not what `beside` says.
    """
    from burnish.feedback.agreement.bootstrap import Bootstrap  # here: the server imports this module, and not scipy
    from burnish.feedback.agreement.statistics import curve_of, statistics

    bootstrap, unscored = Bootstrap(), False
    curve = curve_of(beside.curve, bootstrap) if beside.curve is not None else None
    with Store.open(path) as store:
        state = store.state()  # before the rankings: what is saved in between makes the next reckoning
        people = store.progress_all()
        counts = store.counts()
        rankings = list(store.rankings())
        scores = scores_of(store.items(), beside.scores)[0] if beside.scores is not None else None
        practised = {alias: asdict(one) for alias, one in calibration(rankings).items()}
        try:
            try:
                found = statistics(rankings, bootstrap, scores=scores, curve=curve)
            except ConfigError:  # people have not come to the items that were scored yet
                found, unscored = statistics(rankings, bootstrap, curve=curve), True
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
    made["unscored"] = unscored
    return {name: finite(value) for name, value in made.items()} | {"progress": progress, "calibration": practised}


def main() -> None:
    os.nice(10)
    path, scores, curve = (Path(name) if name else None for name in [*sys.argv[1:4], "", ""][:3])
    try:
        print(json.dumps(reckon(path or Path(), ModelFiles(scores, curve)), allow_nan=False))
    except BurnishError as error:
        print(error, file=sys.stderr)
        sys.exit(error.exit_code)


if __name__ == "__main__":
    main()
