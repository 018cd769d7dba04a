"""A run's folder, read for the report, as plain records. What is missing or damaged is told, not guessed.

lock.json, recipe.yaml      what was run, with which versions
summary.json                each stage's final figures
STAGE/DONE.json             when it was done and how long it took
STAGE/metrics.jsonl         a line a step; of a method with rounds or members, STAGE/rounds/N/metrics.jsonl
STAGE/samples.jsonl         of a stage that evaluates: every model's answers to the held-out prompts; of one that
                            learns from answers of its own: answers to the same prompts at each evaluation
STAGE/best_of_n.jsonl       what the best of n answers wins, and its KL, a row for each n
STAGE/track/NAME.json       how far a tracker is, and what failed of it
STAGE/evaluation.json       of a reward model: how sure it is of held-out pairs, and how often it is right
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePath
from typing import Any

from burnish.errors import MissingInput
from burnish.evaluation.language import LANGUAGES, Language
from burnish.evaluation.report.files import Note, number, numbers, object_in, rows, text, told_object
from burnish.rewards.by import model_name
from burnish.training.trackers import Trouble, troubles

Figures = dict[str, Any]

VERDICT = {"win_rate", "told_apart", "suite_prompts"}
"""Figures of a stage by which one knows that its figures are verdicts, by model."""


@dataclass(frozen=True, slots=True)
class Edge:
    """`source`'s result goes into `target`. `weights`: the model itself goes on, and not only data or a judgement."""

    source: str
    target: str
    weights: bool


@dataclass(frozen=True, slots=True)
class StageRecord:
    """One stage as it lies on the disk. `sources`: what it was made from, each with the hash of what it held.
    `evaluated`: its answers to held-out prompts while it learned, by step. `best_of_n`: rows of n, kl, win_rate.
    `reliability`: of held-out pairs, bin by bin, how sure a reward model is of them and how often it is right."""

    name: str
    method: str
    figures: Figures = field(default_factory=dict)
    metrics: tuple[dict[str, float], ...] = ()
    settings: Mapping[str, Any] = field(default_factory=dict)
    inputs: Mapping[str, Any] = field(default_factory=dict)
    sources: tuple[tuple[str, str], ...] = ()
    seconds: float | None = None
    finished: str = ""
    evaluated: Mapping[str, tuple["Sample", ...]] = field(default_factory=dict)
    best_of_n: tuple[Mapping[str, float], ...] = ()
    reliability: tuple[Mapping[str, float], ...] = ()
    trackers: tuple[Trouble, ...] = ()


@dataclass(frozen=True, slots=True)
class Sample:
    """One model's first answer to a prompt. `scores`: those of all its answers to it. `judge`: a second score of the
    first, where another judge gave one."""

    prompt: str
    answer: str
    scores: tuple[float | None, ...]
    finished: bool
    judge: float | None = None

    @property
    def score(self) -> float | None:
        return self.scores[0] if self.scores else None


@dataclass(frozen=True, slots=True)
class Comparison:
    """A stage that evaluates: a verdict a model, the first being the one to beat, and each model's answers in order."""

    stage: str
    judge: str
    verdicts: Mapping[str, Mapping[str, float | None]]
    samples: Mapping[str, tuple[Sample, ...]]

    @property
    def judged(self) -> bool:
        """Whether a model was judged beside another, and not only measured."""
        return any(figures.get("win_rate") is not None for figures in self.verdicts.values())


@dataclass(frozen=True, slots=True)
class Run:
    folder: Path
    name: str
    stages: tuple[StageRecord, ...]
    edges: tuple[Edge, ...]
    base: str
    comparisons: tuple[Comparison, ...]
    """Those that say who answers better first."""
    recipe: str
    recipe_path: str
    settings: Mapping[str, Any]
    versions: Mapping[str, str]
    threads: int | None
    language: Language
    notes: tuple[Note, ...]


def read_run(folder: Path) -> Run:
    """Raises MissingInput for a folder without a run, DataError where its summary or lock is damaged."""
    if not (folder / "lock.json").exists() and not (folder / "summary.json").exists():
        raise MissingInput(f"{folder}: no run is there (neither lock.json nor summary.json); name a run's folder")
    notes: list[Note] = []
    lock, summary = object_in(folder / "lock.json"), object_in(folder / "summary.json")
    told = lock.get("stages")
    locked: Mapping[str, Any] = told if isinstance(told, dict) else {}
    names = list(dict.fromkeys([*locked, *summary]))
    stages = tuple(_stage(folder, name, locked.get(name, {}), summary.get(name), notes) for name in names)
    recipe, language = folder / "recipe.yaml", lock.get("language")
    return Run(
        folder=folder,
        name=str(lock.get("name") or folder.resolve().name),
        stages=stages,
        edges=tuple(_edges(stages)),
        base=_base(stages),
        comparisons=tuple(sorted(_comparisons(folder, stages, notes), key=lambda one: not one.judged)),
        recipe=recipe.read_text(encoding="utf-8", errors="replace") if recipe.is_file() else "",
        recipe_path=str(lock.get("recipe") or ""),
        settings=lock["set"] if isinstance(lock.get("set"), dict) else {},
        versions={str(k): str(v) for k, v in lock["versions"].items()}
        if isinstance(lock.get("versions"), dict)
        else {},
        threads=lock.get("threads") if isinstance(lock.get("threads"), int) else None,
        language=language if language in LANGUAGES else "en",
        notes=tuple(notes),
    )


def _stage(folder: Path, name: str, locked: Any, summary: Any, notes: list[Note]) -> StageRecord:
    locked = locked if isinstance(locked, dict) else {}
    here = folder / name
    done, begun = told_object(here / "DONE.json", notes), told_object(here / "inputs.json", notes)
    figures = summary if isinstance(summary, dict) else done.get("figures")
    seconds = done.get("seconds")
    metrics = tuple(_metrics(here, notes))
    learning = any("heldout_reward" in row for row in metrics)
    return StageRecord(
        name=name,
        method=str(locked.get("method") or ""),
        figures=figures if isinstance(figures, dict) else {},
        metrics=metrics,
        settings=locked["settings"] if isinstance(locked.get("settings"), dict) else {},
        inputs=locked["inputs"] if isinstance(locked.get("inputs"), dict) else {},
        sources=tuple(dict.fromkeys(_sources(begun.get("inputs") or locked.get("inputs")))),
        seconds=float(seconds) if isinstance(seconds, int | float) else None,
        finished=str(done.get("finished") or ""),
        evaluated=_samples(here / "samples.jsonl", notes, by="step") if learning else {},
        best_of_n=tuple(_best_of_n(here, notes)),
        reliability=tuple(_reliability(here, notes)),
        trackers=tuple(troubles(here)),
    )


def _metrics(here: Path, notes: list[Note]) -> Iterator[dict[str, float]]:
    """Lines of numbers; the steps of later rounds, or members, go on from the earlier ones. What is measured between
    rounds counts rounds, and stands before them."""
    found = [*here.glob("rounds/*/metrics.jsonl"), *here.glob("members/*/metrics.jsonl")]
    rounds = sorted(found, key=lambda path: (len(path.parts[-2]), path))
    before = 0.0
    for file in [here / "metrics.jsonl", *rounds]:
        last = before
        for row in rows(file, notes):
            figures = {k: float(v) for k, v in row.items() if isinstance(v, int | float) and not isinstance(v, bool)}
            last = before + figures.get("step", last + 1 - before)
            yield figures | {"step": last}
        before = last if file in rounds else 0.0


def _best_of_n(here: Path, notes: list[Note]) -> Iterator[dict[str, float]]:
    for row in rows(here / "best_of_n.jsonl", notes):
        figures = numbers(row)
        if {"n", "kl", "win_rate"} <= figures.keys():
            yield figures


def _reliability(here: Path, notes: list[Note]) -> Iterator[dict[str, float]]:
    bins = told_object(here / "evaluation.json", notes).get("reliability")
    for row in bins if isinstance(bins, list) else []:
        figures = numbers(row) if isinstance(row, dict) else {}
        if {"sure", "right", "pairs"} <= figures.keys():
            yield figures


def _sources(value: Any) -> Iterator[tuple[str, str]]:
    """Stages, files, hub models and judges among a stage's inputs, with the first digits of their hash or commit."""
    if isinstance(value, Mapping):
        known = next((str(value[key]) for key in ("stage", "name", "hub", "path") if value.get(key)), "")
        digest = value.get("sha256") or value.get("revision")
        if known and isinstance(digest, str):
            yield PurePath(known).name if "path" in value else known, digest[:10]
        else:
            for inner in value.values():
                yield from _sources(inner)
    elif isinstance(value, list | tuple):
        for inner in value:
            yield from _sources(inner)
    elif isinstance(value, str) and value:
        yield value if "://" in value else PurePath(value).name, ""


def _leaves(value: Any, at: str = "") -> Iterator[tuple[str, str]]:
    """(key, text) for every text in a stage's inputs, under the key of the input that it stands in."""
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield from _leaves(inner, at or str(key))
    elif isinstance(value, list | tuple):
        for inner in value:
            yield from _leaves(inner, at)
    elif isinstance(value, str):
        yield at, value


def _edges(stages: tuple[StageRecord, ...]) -> Iterator[Edge]:
    known = {stage.name for stage in stages}
    for stage in stages:
        found: dict[str, bool] = {}
        for key, leaf in _leaves(stage.inputs):
            if leaf in known and leaf != stage.name:
                found[leaf] = found.get(leaf, False) or key in ("model", "models")
        yield from (Edge(source, stage.name, weights) for source, weights in found.items())


def _base(stages: tuple[StageRecord, ...]) -> str:
    """The model that the first stage starts from, where it is no stage's."""
    known = {stage.name for stage in stages}
    models = (leaf for stage in stages for key, leaf in _leaves(stage.inputs) if key == "model" and leaf not in known)
    return next(models, "")


def _comparisons(folder: Path, stages: tuple[StageRecord, ...], notes: list[Note]) -> Iterator[Comparison]:
    for stage in stages:
        verdicts = {
            str(model): {str(k): number(v) for k, v in figures.items()}
            for model, figures in stage.figures.items()
            if isinstance(figures, dict) and figures.keys() & VERDICT
        }
        if verdicts:
            yield Comparison(
                stage=stage.name,
                judge=", ".join(judges(stage.inputs.get("by"))),
                verdicts=verdicts,
                samples=_samples(folder / stage.name / "samples.jsonl", notes),
            )


def judges(by: Any) -> list[str]:
    """Who judges, by name, from `by` as a recipe or an inputs.json has it; not those whose weight is 0, who are only
    reported."""
    items = by if isinstance(by, list) else [by]
    weighted = [item for item in items if not isinstance(item, Mapping) or item.get("weight", 1) != 0]
    return [name for item in weighted if (name := _judge(item))]


def _judge(item: Any) -> str:
    """A stage, hub model or function by its name, a model's folder by the name that tells it from others."""
    if not isinstance(item, Mapping):
        return str(item or "")
    if isinstance(item.get("path"), str):
        return model_name(item["path"])
    known = (item.get(key) for key in ("name", "stage", "hub", "by", "judge"))
    return next((_judge(one) for one in known if one), "")


def _samples(path: Path, notes: list[Note], by: str = "model") -> dict[str, tuple[Sample, ...]]:
    """First answers in order, by the model that gave them or the step that it gave them at."""
    found: dict[str, list[Sample]] = {}
    for row in rows(path, notes):
        answers, scores, finished = row.get("answers"), row.get("scores"), row.get("finished")
        if not isinstance(answers, list) or not answers:
            continue
        given = tuple(map(number, scores)) if isinstance(scores, list) else ()
        whole = finished[0] is not False if isinstance(finished, list) and finished else True
        sample = Sample(text(row.get("prompt")), text(answers[0]), given, whole, number(row.get("judge")))
        found.setdefault(str(row.get(by, "unknown")), []).append(sample)
    return {model: tuple(samples) for model, samples in found.items()}
