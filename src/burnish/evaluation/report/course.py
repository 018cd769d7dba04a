"""How the run came about, and how to come there again: the chain, and what repeats it."""

from collections.abc import Mapping
from pathlib import PurePath
from typing import Any

from burnish.evaluation.again import command
from burnish.evaluation.report import charts
from burnish.evaluation.report.chain import ACROSS, DOWN, Box, chain
from burnish.evaluation.report.parts import Page, dot, drawn, method_name, table
from burnish.evaluation.report.run import Edge, Run, StageRecord
from burnish.evaluation.report.svg import escaped
from burnish.evaluation.report.words import Words, figure, number
from burnish.training.config import flat


def the_chain(run: Run, page: Page) -> str:
    say = page.say
    boxes = [_box(run, stage, say) for stage in run.stages]
    edges = list(run.edges)
    if run.base and all(stage.name != "base" for stage in run.stages):
        name = PurePath(run.base).name
        boxes.insert(0, Box("base", say("chain.pretrained"), "" if name == "base" else charts.label(name)))
        edges[:0] = [Edge("base", stage.name, weights=True) for stage in run.stages if _starts_from(stage, run.base)]
    lines = (say("chain.edge", target=edge.target, source=edge.source) for edge in edges)
    label = say("chain.label", lines=say("semicolon").join(lines))

    def pictures() -> str:
        return "".join(chain(boxes, edges, direction, label=label) for direction in (ACROSS, DOWN))

    return (
        f"<section><h2>{escaped(say('chain.title'))}</h2><figure>{drawn(say('section.chain'), pictures, say)}"
        f'<p class="key small"><span>{escaped(say("chain.weights"))}</span>'
        f'<span class="data">{escaped(say("chain.data"))}</span></p></figure></section>'
    )


def _starts_from(stage: StageRecord, base: str) -> bool:
    models = stage.inputs.get("models")
    several = models.values() if isinstance(models, Mapping) else models if isinstance(models, list) else []
    return base in [stage.inputs.get("model"), *several]


def _box(run: Run, stage: StageRecord, say: Words) -> Box:
    kind = method_name(stage.method, say)
    kind = kind if kind != stage.name else ""
    for comparison in run.comparisons:
        models = list(comparison.verdicts)
        if stage.name in models and comparison.judged:
            wins = say("chain.wins", rate=say.percent(comparison.verdicts[stage.name].get("win_rate")))
            told = say("to_beat") if stage.name == models[0] else wins
            return Box(stage.name, kind, told, dot(models, stage.name))
        if stage.name == comparison.stage:
            count = max((len(samples) for samples in comparison.samples.values()), default=0)
            return Box(stage.name, kind, say("chain.prompts", count=count) if count else "")
    return Box(stage.name, kind, _told(stage, say))


def _told(stage: StageRecord, say: Words) -> str:
    """A stage's one figure in the picture."""
    found = {key: float(value) for key, value in stage.figures.items() if isinstance(value, int | float)}
    if "heldout_accuracy" in found:
        return say("chain.of_pairs", share=say.percent(found["heldout_accuracy"]))
    for key in ("rankings", "answers"):
        if key in found:
            return say(f"chain.{key}", count=number(found[key], 0))
    if "loss" in found:
        return say("chain.loss", loss=figure(found["loss"]))
    return "" if stage.seconds is not None else say("chain.not_done")


# ---- how to repeat it


def again(run: Run, page: Page) -> str:
    say = page.say
    facts = [f"{name} {version}" for name, version in run.versions.items()]
    facts += [say("again.threads", count=run.threads)] if run.threads else []
    rows = [[escaped(stage.name), _from(stage)] for stage in run.stages]
    recipe = f"<h3>recipe.yaml</h3><pre>{escaped(run.recipe)}</pre>" if run.recipe else ""
    settings = "".join(
        f"<h3>{escaped(stage.name)}</h3><pre>{escaped(_lines(stage.settings))}</pre>"
        for stage in run.stages
        if stage.settings
    )
    every = f"<details><summary>{escaped(say('again.settings'))}</summary>{settings}</details>" if settings else ""
    made = table([escaped(say("stage")), escaped(say("again.from"))], rows, say("again.from"), texts=2)
    return (
        f"<section><h2>{escaped(say('again.title'))}</h2><pre>{escaped(command_of(run))}</pre>"
        f'<p class="small">{escaped(", ".join(facts))}</p>{recipe}{every}{made}</section>'
        f'<footer><p class="small">{escaped(say("footer"))}</p></footer>'
    )


def _lines(settings: Mapping[str, Any]) -> str:
    return "\n".join(f"{key}: {value}" for key, value in flat(settings).items())


def command_of(run: Run) -> str:
    """The command that made the run."""
    return command(run.recipe_path, run.settings, str(run.folder))


def _from(stage: StageRecord) -> str:
    """What a stage was made from, as HTML: names, with the hash of what they held."""
    told = (f"{escaped(name)}{f' <code>{escaped(digest)}</code>' if digest else ''}" for name, digest in stage.sources)
    return "<br>".join(told) or "–"
