"""The report of a policy's held-out evaluations while it learned: what it gained, how far it went for that, what an
independent judge thought, and how its answers to the same prompts changed."""

from burnish.evaluation.report import charts
from burnish.evaluation.report.answers import asked_and_answered
from burnish.evaluation.report.parts import SIZE, Page, figure
from burnish.evaluation.report.run import Run, StageRecord
from burnish.evaluation.report.svg import HUES, INK, escaped
from burnish.evaluation.report.words import Words, number


def on_the_way(run: Run, page: Page) -> str:
    found = [(number_, stage) for number_, stage in enumerate(run.stages) if len(_evaluated(stage)) > 1]
    return "".join(_stage(stage, page, number_) for number_, stage in found)


def _evaluated(stage: StageRecord) -> list[dict[str, float]]:
    return [row for row in stage.metrics if "heldout_reward" in row and "heldout_kl" in row]


def _stage(stage: StageRecord, page: Page, place: int) -> str:
    say, rows = page.say, _evaluated(stage)
    pictures = [
        figure(
            say("heldout.over_kl"),
            say("heldout.over_kl.means"),
            lambda: charts.over_kl(rows, say),
            page,
            label=say("heldout.over_kl.label", stage=stage.name),
            name=f"f{place}",
            size=SIZE,
        )
    ]
    pictures += [_course(stage, rows, key, colour, page, place) for key, colour in _TOLD]
    apart = [number(row["step"], 0) for row in rows if row.get("heldout_parted")]
    key = "heldout.parted_once" if len(apart) == 1 else "heldout.parted"
    warning = f'<p class="warn">▾ {escaped(say(key, steps=say.listing(apart)))}</p>' if apart else ""
    prompts = number(rows[-1].get("heldout_prompts"), 0)
    about = say("heldout.about", count=len(rows), prompts=prompts)
    return (
        f'<section><h2>{escaped(say("heldout.title", stage=stage.name))}</h2><p class="aside">{escaped(about)}</p>'
        f'{warning}<div class="pictures">{"".join(pictures)}</div>{_answers(stage, say)}</section>'
    )


_TOLD = (("heldout_reward", INK), ("heldout_judge", HUES[0]))


def _course(stage: StageRecord, rows: list[dict[str, float]], key: str, colour: str, page: Page, place: int) -> str:
    """One figure over steps; nothing where it was told less than twice."""
    say, told = page.say, [row for row in rows if key in row]
    if len(told) < 2:
        return ""
    line = charts.Line("", [row["step"] for row in told], [row[key] for row in told], colour)
    return figure(
        say(f"heldout.{key}"),
        say(f"heldout.{key}.means"),
        lambda: charts.curves([line], None, say),
        page,
        label=say("heldout.label", figure=say(f"heldout.{key}").lower(), stage=stage.name),
        name=f"h{place}-{key.rpartition('_')[2]}",
        size=SIZE,
    )


def _answers(stage: StageRecord, say: Words) -> str:
    """The prompts that were kept, each answered at the first, the middle and the last evaluation."""
    steps = list(stage.evaluated)
    chosen = list(dict.fromkeys([steps[0], steps[len(steps) // 2], steps[-1]])) if steps else []
    count = min((len(stage.evaluated[step]) for step in chosen), default=0)
    colours = ("base", "hue-0", "hue-1")
    return "".join(
        asked_and_answered(
            [
                (say("step", step=step), colour, stage.evaluated[step][place])
                for step, colour in zip(chosen, colours, strict=False)
            ],
            say,
        )
        for place in range(count)
    )
