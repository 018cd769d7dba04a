"""A recipe's file, or one command's options → stages with settings, or everything that is wrong with them, at once.

Top-level keys are `name`, `model`, `stages`, `roots`, `language`, and any key that training stages share: a stage that
does not set such a key inherits it.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from burnish.data.problems import described, listed, nearest
from burnish.errors import ConfigError, MissingInput, UsageError
from burnish.evaluation.gate import condition, known, lacking, required
from burnish.evaluation.language import LANGUAGES, Language
from burnish.recipes.graph import Result, Stage, each, in_order, leaves
from burnish.recipes.inputs import Inputs
from burnish.recipes.names import TAKEN, folder_trouble
from burnish.recipes.stages import METHODS
from burnish.recipes.written import Written, read_yaml
from burnish.rewards.by import Allowed
from burnish.training.config import KeyPath, MethodConfig, examine, hint

OWN = ("name", "model", "stages", "roots", "language")
SHARED = tuple(MethodConfig.model_fields)
NOT_SETTINGS = ("method", "each")
MOST_TOLD = 20


@dataclass(frozen=True)
class Recipe:
    """`stages` are in the order in which they run. `file` is None for one command's stage. `settings` were typed in the
    folder `typed_in`. `language` is that of the run's report."""

    name: str
    file: Path | None
    stages: tuple[Stage, ...]
    settings: Mapping[str, Any]
    typed_in: Path
    language: Language = "en"

    def stage(self, name: str) -> Stage:
        return next(stage for stage in self.stages if stage.name == name)


def load(
    path: Path,
    settings: Mapping[str, Any] | None = None,
    *,
    typed_in: Path | None = None,
    allow_code: bool = False,
    insecure: bool = False,
) -> Recipe:
    """Read a recipe, with `settings` laid over it, whose first key is a stage's name or a top-level key.

    Paths in `settings` start in `typed_in`, by default the current folder. `allow_code`: functions beside the recipe
    may judge. `insecure`: judges may be asked over http. Reading runs nobody's code.

    Raises ConfigError with a line for each thing that is wrong, or MissingInput where only files are missing.
    """
    written = read_yaml(path)
    laid = written.with_settings(_by_stage(settings or {}, written))
    allowed = Allowed(path.parent, code=allow_code, insecure=insecure)
    return _recipe(laid, path, settings or {}, typed_in or Path(), allowed)


def one_stage(
    method: str,
    inputs: Mapping[str, Any],
    settings: Mapping[str, Any],
    *,
    allow_code: bool = False,
    insecure: bool = False,
) -> Stage:
    """The stage of a single command, from its options and its `--set`. Functions are looked for in the current folder.

    Raises as `load`.
    """
    given = {key: value for key, value in inputs.items() if value is not None}
    for key in settings:
        if key in given or key in NOT_SETTINGS:
            raise UsageError(
                f"--set {key}: {f'{_option(key)} gives it already' if key in given else 'only a recipe has it'}"
            )
    typed: dict[KeyPath, str] = {("stages", method, key): _option(key) for key in [*METHODS[method].inputs, *given]}
    typed |= {("stages", method, key): f"--set {key}" for key in settings}
    values = {"name": method, "stages": {method: {"method": method, **settings, **given}}}
    allowed = Allowed(Path(), code=allow_code, insecure=insecure)
    return _recipe(Written("", values, {}, typed), None, settings, Path(), allowed).stage(method)


def never_met(stage: Stage, text: str) -> str:
    """Why the stage's verdict can never meet a condition, as the clause of a message; empty where it may."""
    wanted, models = condition(text), list(stage.inputs.get("models") or ())
    if wanted.model and models and wanted.model not in models:
        return f"no model is called {wanted.model}{known(wanted.model, models)}"
    if stage.method != "evaluate":
        return ""
    given = {key: value for key, value in stage.inputs.items() if value is not None}
    return lacking(wanted.figure, given, getattr(stage.config, "suite", None))


def _option(key: str) -> str:
    return f"--{key.replace('_', '-')}"


def _by_stage(settings: Mapping[str, Any], written: Written) -> dict[str, Any]:
    """`sft.epochs=2` means stages.sft.epochs; `seed=1` and the other top-level keys stay where they are."""
    stages = written.values.get("stages")
    names = list(stages) if isinstance(stages, Mapping) else []
    laid: dict[str, Any] = {"stages": {key: value for key, value in settings.items() if key in names}}
    return (
        laid | {key: value for key, value in settings.items() if key not in names} if laid["stages"] else dict(settings)
    )


def _recipe(
    written: Written, file: Path | None, settings: Mapping[str, Any], typed_in: Path, allowed: Allowed
) -> Recipe:
    reading = _Reading(written, file, typed_in, allowed)
    name, stages = reading.stages()
    troubles = reading.troubles + reading.inputs.troubles
    if troubles:
        raise ConfigError(_one_screen(troubles + reading.inputs.missing))
    if reading.inputs.missing:
        raise MissingInput(_one_screen(reading.inputs.missing))
    return Recipe(name, file, tuple(stages), settings, typed_in, written.values.get("language", "en"))


def _one_screen(troubles: Sequence[str]) -> str:
    """Each trouble once, as a reader meets them who goes down the file, and no more than fit a screen."""

    def line(trouble: str) -> int:
        found = re.match(r".*?:(\d+): ", trouble)
        return int(found[1]) if found else 0

    told = sorted(dict.fromkeys(troubles), key=line)
    more = [f"… and {len(told) - MOST_TOLD} more"] if len(told) > MOST_TOLD else []
    return "\n".join(told[:MOST_TOLD] + more)


class _Reading:
    """One pass over what was written that goes on after a fault, so that all are told."""

    def __init__(self, written: Written, file: Path | None, typed_in: Path, allowed: Allowed) -> None:
        self.written = written
        self.file = file
        self.troubles: list[str] = []
        self.raw: dict[str, Mapping[str, Any]] = {}
        self.made: dict[str, dict[str, dict[str, Any]]] = {}
        """A written stage → the stages that it makes → what `each` sets in them."""
        self._names()
        methods = {name: raw.get("method") for name, raw in self.raw.items()}
        self.inputs = Inputs(written, file.parent if file else Path(), typed_in, allowed, methods, self.made)

    def trouble(self, path: KeyPath, what: str) -> None:
        self.troubles.append(f"{self.written.where(path)}: {what}")

    def stages(self) -> tuple[str, list[Stage]]:
        """The recipe's name, and its stages in order."""
        values = self.written.values
        known = [*OWN, *SHARED]
        for key in values:
            if key not in known:
                self.trouble((key,), f"unknown key{hint(key, [*known, *self.raw])}")
        name = values.get("name", self.file.stem if self.file else "")
        if not isinstance(name, str):
            self.trouble(("name",), f"must be text; found {described(name)}")
        elif what := folder_trouble(name):
            self.trouble(("name",), what)
        self._roots(values.get("roots", []))
        if (language := values.get("language", "en")) not in LANGUAGES:
            self.trouble(("language",), f"must be one of {', '.join(LANGUAGES)}; found {described(language)}")
        stages = [
            stage
            for written_name, made in self.made.items()
            for stage_name, chosen in made.items()
            if (stage := self._stage(written_name, stage_name, chosen)) is not None
        ]
        self._lie_on_one_base(stages)
        self._are_judged(stages)
        read = {stage.name for stage in stages}
        order, cycle = in_order([stage for stage in stages if read.issuperset(stage.parents)])
        if cycle:
            circle = " ← ".join(cycle)
            self.trouble(("stages", cycle[0].split("/")[0]), f"waits for its own result: {circle}; break the circle")
        return str(name), order

    def _lie_on_one_base(self, stages: Sequence[Stage]) -> None:
        """What PPO would only find out when its reward model is made: that it is no adapter on the policy's weights."""
        named = {stage.name: stage for stage in stages}
        for stage in stages:
            if getattr(getattr(stage.config, "critic", None), "kind", None) != "adapter":
                continue
            for leaf in leaves(stage.inputs.get("by")):
                made = named.get(leaf.stage) if isinstance(leaf, Result) else None
                if made is None or made.method != "reward":
                    continue
                model = stage.inputs.get("model")
                if getattr(made.config, "lora", None) is None or made.inputs.get("model") != model:
                    self.trouble(
                        ("stages", stage.name.split("/")[0], "by"),
                        f"{made.name} must be an adapter on {model}, for critic.kind: adapter puts all on its weights; "
                        f"write lora: {{rank: 16}} and model: {model} in {made.name}, or another kind of critic",
                    )

    def _are_judged(self, stages: Sequence[Stage]) -> None:
        """A requirement that no verdict can meet would only be found out once all models are trained."""
        for stage in stages:
            for text in required(stage.config):
                if why := never_met(stage, text):
                    self.trouble(("stages", stage.name.split("/")[0], "require"), f"{text!r}: {why}")

    def _roots(self, roots: Any) -> None:
        if not isinstance(roots, list) or not all(isinstance(root, str) for root in roots):
            self.trouble(("roots",), f"must be a list of folders that the recipe may read; found {described(roots)}")
        else:
            self.inputs.roots += [self.inputs.place / root for root in roots]

    def _names(self) -> None:
        stages = self.written.values.get("stages")
        if not isinstance(stages, Mapping) or not stages:
            found = described(stages) if "stages" in self.written.values else "none"
            self.trouble(("stages",), f"must name at least one stage, such as sft: {{method: sft, …}}; found {found}")
            return
        for name, raw in stages.items():
            path: KeyPath = ("stages", name)
            if what := folder_trouble(name):
                self.trouble(path, what)
            elif name.lower() in TAKEN:
                self.trouble(path, f"{name} means {TAKEN[name.lower()]}; give the stage another name")
            elif not isinstance(raw, Mapping):
                self.trouble(path, f"must be a group of keys, such as {{method: sft, …}}; found {described(raw)}")
            else:
                self.raw[name] = raw
                self.made[name] = self._each(name, raw)

    def _each(self, name: str, raw: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
        if "each" not in raw:
            return {name: {}}
        made, what = each(name, raw["each"])
        if what:
            self.trouble(("stages", name, "each"), what)
        return dict(made)

    def _stage(self, written_name: str, name: str, chosen: Mapping[str, Any]) -> Stage | None:
        path: KeyPath = ("stages", written_name)
        raw = self.raw[written_name]
        method = raw.get("method")
        if not isinstance(method, str) or method not in METHODS:
            found = f"unknown method {described(method)}" if "method" in raw else "missing"
            near = nearest(method, METHODS) if isinstance(method, str) else ""
            self.trouble((*path, "method"), f"{found}{near or f'; there is {listed(METHODS)}'}")
            return None
        given: dict[str, Any] = {key: value for key, value in raw.items() if key not in NOT_SETTINGS}
        for key, value in chosen.items():
            _put(given, key.split("."), value)
        inputs = self.inputs.of(path, METHODS[method], given)
        config, origins = self._config(path, method, given, list(chosen))
        return Stage(name, method, inputs, config, origins, self.inputs.allowed) if config is not None else None

    def _config(
        self, path: KeyPath, method: str, given: Mapping[str, Any], chosen: Sequence[str]
    ) -> tuple[BaseModel | None, dict[str, str]]:
        """Settings, and where each that is no default came from."""
        inputs = METHODS[method].inputs
        config_class = METHODS[method].config_class()
        fields = config_class.model_fields
        known = [*inputs, *fields, *NOT_SETTINGS]
        unknown = [key for key in given if key not in known]
        for key in unknown:
            self.trouble((*path, key), f"unknown key{hint(key, known)}")
        own = {key: value for key, value in given.items() if key in fields}
        lengths = {"epochs", "steps"}  # a stage that sets one does not inherit the other
        inherited = {
            key: self.written.values[key]
            for key in SHARED
            if key in self.written.values
            and key in fields
            and key not in own
            and not (key in lengths and lengths & own.keys())
        }

        def place(key: KeyPath) -> KeyPath:
            if key and key[0] in inherited:
                return key
            by_each = [name for name in chosen if key and name.split(".")[0] == key[0]]
            return (*path, "each", by_each[0]) if by_each else (*path, *key)

        settings = inherited | own
        config, troubles = examine(config_class, settings, where=lambda key: self.written.where(place(key)))
        self.troubles += troubles
        origins = {
            key: ("inherited" if key in inherited else "given") + f" {self.written.source(place((key,)))}".rstrip()
            for key in settings
        }
        return (None if unknown else config), origins


def _put(settings: dict[str, Any], names: Sequence[str], value: Any) -> None:
    """Set a dotted key without touching the groups that other stages share."""
    for name in names[:-1]:
        inner = settings.get(name)
        settings[name] = dict(inner) if isinstance(inner, Mapping) else {}
        settings = settings[name]
    settings[names[-1]] = value
