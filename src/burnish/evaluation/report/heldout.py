"""The report of a policy's held-out evaluations while it learned: what it gained, how far it went for that, what an
independent judge thought, and how its answers to the same prompts changed."""

from burnish.evaluation.report import charts, words
from burnish.evaluation.report.parts import asked_and_answered, figure
from burnish.evaluation.report.run import Run, StageRecord
from burnish.evaluation.report.svg import HUES, INK, Sheet, escaped


def on_the_way(run: Run, sheet: Sheet) -> str:
    found = [(number, stage) for number, stage in enumerate(run.stages) if len(_evaluated(stage)) > 1]
    return "".join(_stage(stage, sheet, number) for number, stage in found)


def _evaluated(stage: StageRecord) -> list[dict[str, float]]:
    return [row for row in stage.metrics if "heldout_reward" in row and "heldout_kl" in row]


def _stage(stage: StageRecord, sheet: Sheet, number: int) -> str:
    rows = _evaluated(stage)
    apart = [row for row in rows if row.get("heldout_parted")]
    pictures = [
        figure(
            "Reward over KL",
            "from the first evaluation to the last; up is better, left is nearer to the reference",
            lambda: charts.frontier(rows),
            sheet,
            label=f"Held-out reward of {stage.name} over its KL",
            name=f"f{number}",
            size=(3.5, 2.25),
        )
    ]
    shown = [("heldout_reward", "Reward", "mean of what the run climbs, penalty included", INK)]
    shown += [("heldout_judge", "Judge's score", "mean score by a judge that nothing climbs", HUES[0])]
    for key, title, meaning, colour in shown:
        told = [row for row in rows if key in row]
        if len(told) > 1:
            line = charts.Line("", [row["step"] for row in told], [row[key] for row in told], colour)
            pictures.append(
                figure(
                    title,
                    meaning,
                    lambda line=line: charts.curves([line], None),  # type: ignore[misc]  # mypy cannot type a default
                    sheet,
                    label=f"Held-out {title.lower()} of {stage.name} over steps",
                    name=f"h{number}-{key.rpartition('_')[2]}",
                    size=(3.5, 2.25),
                )
            )
    after = f"step{'s' if len(apart) > 1 else ''} {words.listing([words.number(row['step'], 0) for row in apart])}"
    warning = (
        f'<p class="warn">▾ After {after} the reward had risen and the judge\'s score had fallen, both beyond their '
        "intervals: over-optimised.</p>"
        if apart
        else ""
    )
    prompts = words.number(rows[-1].get("heldout_prompts"), 0)
    return (
        f'<section><h2>{escaped(stage.name)} on held-out prompts</h2><p class="aside">At each of {len(rows)} '
        f"evaluations it answered the same {prompts} prompts, from the same seeds.</p>{warning}"
        f'<div class="pictures">{"".join(pictures)}</div>{_answers(stage)}</section>'
    )


def _answers(stage: StageRecord) -> str:
    """The prompts that were kept, each answered at the first, the middle and the last evaluation."""
    steps = list(stage.evaluated)
    chosen = list(dict.fromkeys([steps[0], steps[len(steps) // 2], steps[-1]])) if steps else []
    count = min((len(stage.evaluated[step]) for step in chosen), default=0)
    colours = ("base", "hue-0", "hue-1")
    return "".join(
        asked_and_answered(
            [
                (f"step {step}", colour, stage.evaluated[step][place])
                for step, colour in zip(chosen, colours, strict=False)
            ]
        )
        for place in range(count)
    )
