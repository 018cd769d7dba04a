"""Best of n at inference: of n draws to a prompt the one that scores best by `by`, and what n is worth.

Nothing is trained. As a policy it has KL ≤ log n - (n - 1)/n to the model that draws (evaluation/best_of_n.py), so its
gain is one that training should be held to. For a curve each prompt gets one more draw, which nothing chooses: the best
of n, whatever n, is compared with a draw that took no part.
"""

import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from burnish.data.convert import write_rows
from burnish.errors import ConfigError
from burnish.evaluation.best_of_n import curve, doublings
from burnish.methods.rewarding import names_of
from burnish.methods.scoring import By, loaded_judges, scores_by
from burnish.training.config import StageConfig
from burnish.training.metrics import Figures
from burnish.types import Group

CURVE = "best_of_n.jsonl"


@dataclass(frozen=True, slots=True)
class Kept:
    """A prompt with its best answers alone, and which of the draws they are."""

    group: Group
    draws: list[int]


class BestOf:
    """Whoever chooses among draws, and the judge that only looks on, loaded once.

    `samples` answers a prompt, each the best of `n` draws of its own; draws beyond those are scored and not kept.
    """

    def __init__(
        self, by: By, judge: By | None, config: StageConfig, *, n: int, samples: int, unfinished_penalty: float
    ) -> None:
        self.config = config
        self.n, self.samples, self.penalty = n, samples, unfinished_penalty
        self.by = loaded_judges(by, config)
        self.judge = loaded_judges(judge, config) if judge is not None else []
        if self.judge and names_of(self.judge, config) == names_of(self.by, config):
            print(
                "warning: judge: it is the one that chooses, so it says what it chose by; name another", file=sys.stderr
            )

    def identity(self) -> dict[str, str]:
        """What a run that goes on must have again."""
        judge = {"judge": names_of(self.judge, self.config)} if self.judge else {}
        return {"by": names_of(self.by, self.config), **judge}

    def chosen(self, groups: Sequence[Group], cut_GK: Sequence[Sequence[bool]]) -> list[Kept]:
        """The best answers of each prompt, with what every draw scored beside them.

        `cut_GK`: which draws were cut by length; these lose the penalty. Of equal scores the earlier draw is kept.
        """
        given = scores_by(self.by, groups, self.config)
        looked = scores_by(self.judge, groups, self.config).total if self.judge else None
        found = []
        for place, group in enumerate(groups):
            score_K = [score - self.penalty * cut for score, cut in zip(given.total[place], cut_GK[place], strict=True)]
            parts = [range(first, first + self.n) for first in range(0, self.n * self.samples, self.n)]
            draws = [max(part, key=lambda k: (score_K[k], -k)) for part in parts]
            told: dict[str, Any] = {"best_of": self.n, "draws": draws, "draw_scores": score_K}
            if looked is not None:
                told["draw_judge_scores"] = looked[place]
            if given.parts:
                told["scores_by_part"] = {name: [rows[place][k] for k in draws] for name, rows in given.parts.items()}
            answers = tuple(replace(group.answers[k], score=score_K[k]) for k in draws)
            found.append(Kept(replace(group, answers=answers, extra={**group.extra, **told}), draws))
        return found


def check_inputs(by: By | None, judge: By | None, *, n: int, with_curve: bool) -> None:
    """Raise ConfigError unless somebody chooses, and has something to choose."""
    if n > 1 and by is None:
        raise ConfigError(f"best_of: {n}: nobody says which answer is best; name who does, by: WHO")
    if n == 1 and by is not None:
        raise ConfigError(
            "by: it chooses among draws, and each prompt's answers are kept as drawn; set best_of: 8, say"
        )
    if judge is not None and not with_curve:
        raise ConfigError("judge: it says what n is worth, and no curve is asked for; set curve: true, or leave it out")


def figures_of(answers: Path, out: Path, *, n: int, with_curve: bool) -> Figures:
    """What the draws scored that stand in the file `answers`; `with_curve` also what the best of `n` is worth.

    The whole curve goes to `out/best_of_n.jsonl`.
    """
    with answers.open(encoding="utf-8") as lines:
        rows = [json.loads(line) for line in lines]
    score_GK = [row["draw_scores"] for row in rows]
    judge_GK = [row["draw_judge_scores"] for row in rows] if "draw_judge_scores" in rows[0] else None
    kept = [score for row in rows for score in row["scores"]]
    every = [score for score_K in score_GK for score in score_K]
    figures = {"draws": float(len(every)), "score_mean": sum(every) / len(every), "score_kept": sum(kept) / len(kept)}
    if not with_curve:
        return figures
    counts = sorted({*doublings(len(score_GK[0]) - 1), n})
    found = {count: one.record() for count, one in zip(counts, curve(score_GK, judge_GK, counts), strict=True)}
    write_rows(found.values(), out / CURVE)
    return figures | {name: found[n][name] for name in ("kl", "win_rate", "win_rate_low", "win_rate_high")}


def curve_in(file: Path) -> dict[str, dict[str, float]]:
    """The rows of a curve that was written, by n as text."""
    with file.open(encoding="utf-8") as lines:
        rows = [json.loads(line) for line in lines]
    return {str(row.pop("n")): row for row in rows}
