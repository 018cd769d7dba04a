"""What a stage works on: stages, paths, hub ids and judges as they were written → as a method gets them."""

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from burnish.address import Address
from burnish.data.problems import described, listed, nearest, printable
from burnish.errors import BurnishError
from burnish.recipes.graph import Result, placed
from burnish.recipes.names import path_trouble
from burnish.recipes.stages import METHODS, Input, Method, Takes
from burnish.recipes.written import Written
from burnish.rewards.by import URL, Allowed, check, model_name
from burnish.rewards.rubric import FILE
from burnish.training.config import KeyPath

HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[\w.-]+")
ANYWHERE = (Path("/"),)
PEOPLE_CANNOT_SCORE = (
    "people cannot score every answer that a policy samples while it learns; let them rank in a stage `method: rank`, "
    "train a reward model on that (`method: reward`), and name it here"
)
GIVES: Mapping[Takes, str] = {"model": "a model", "scorer": "a reward model", "groups": "records", "by": "a judge"}


class Inputs:
    """The stages of a recipe, by name, and what is wrong with what they name: `troubles`, and `missing` files."""

    def __init__(
        self,
        written: Written,
        place: Path,
        typed_in: Path,
        allowed: Allowed,
        methods: Mapping[str, Any],
        made: Mapping[str, Iterable[str]],
    ) -> None:
        """`methods`: each written stage's method. `made`: the stages that `each:` makes of it, or itself alone."""
        self.written = written
        self.place = place
        self.typed_in = typed_in
        self.allowed = allowed
        self.roots = [place, typed_in]
        self.methods = methods
        self.made = {name: tuple(stages) for name, stages in made.items()}
        self.troubles: list[str] = []
        self.missing: list[str] = []

    def trouble(self, path: KeyPath, what: str) -> None:
        self.troubles.append(f"{self.written.where(path)}: {what}")

    def of(self, path: KeyPath, method: Method, given: Mapping[str, Any]) -> dict[str, Any]:
        """The inputs of the stage at `path`, by key. What could not be found is None or left out, and told."""
        named = {key: value for key, value in given.items() if value is not None}  # `suite: null` asks for none
        if not any(all(key in named for key in needed) for needed in method.needs):
            self._tell_missing(path, method, named)
        else:
            for key, other in method.beside.items():
                if key in named and other not in named:
                    self.trouble((*path, key), f"says nothing without `{other}`; add that, or leave this out")
        return {
            key: self._input((*path, key), takes, given[key]) for key, takes in method.inputs.items() if key in given
        }

    def _tell_missing(self, path: KeyPath, method: Method, given: Mapping[str, Any]) -> None:
        """Of the set of inputs that misses least, tell what is missing and which setting would do in its place."""
        named = [needed for needed in method.needs if all(key in method.inputs for key in needed)]
        wanted = min(named, key=lambda needed: sum(key not in given for key in needed))
        settings = dict.fromkeys(key for needed in method.needs for key in needed if key not in method.inputs)
        for key in wanted:
            if key not in given:
                instead = "".join(f", or in its place {setting}" for setting in settings if key != "models")
                self.trouble((*path, key), f"missing; it takes {_meaning(method.inputs[key])}{instead}")

    def _input(self, path: KeyPath, takes: Input, value: Any) -> Any:
        if takes.takes == "by":
            return self._by(path, takes, value)
        if takes.takes == "scorer" and value == "people":
            self.trouble(path, PEOPLE_CANNOT_SCORE)
            return None
        if isinstance(value, str) and URL.match(value) and takes.takes == "model":
            return self._address(path, takes, value)
        items = value if isinstance(value, list) and takes.several else [value]
        if not items:
            self.trouble(path, f"names nothing; it takes {_meaning(takes)}")
        if takes.takes == "model" and takes.several:
            return self._models(path, items)
        found = [one for item in items for one in self._named(path, takes.takes, item)]
        if takes.several:
            return found
        if len(found) > 1:
            self.trouble(path, f"{value} is {len(found)} stages ({listed(map(str, found))}); name one of them")
        return found[0] if found else None

    def _address(self, path: KeyPath, takes: Input, value: str) -> str | None:
        if not takes.served:
            self.trouble(path, "a model behind an http address can be sampled by generate; name a model that is here")
            return None
        try:
            Address(value)
        except BurnishError as error:
            self.trouble(path, str(error))
            return None
        return value

    def _models(self, path: KeyPath, items: Iterable[Any]) -> dict[str, Any]:
        """Several models under the names that a report shows."""
        named: dict[str, Any] = {}
        for item in items:
            for one in self._named(path, "model", item):
                name = "base" if item == "base" else str(one) if isinstance(one, Result) else model_name(str(one))
                if name in named:
                    self.trouble(path, f"two models are called {name}; keep one, or rename a folder")
                named[name] = one
        return named

    def _by(self, path: KeyPath, takes: Input, value: Any) -> Any:
        """Who judges, alone or in a list of weighted parts; found now, for hours of training may come first."""
        if value == "people" and takes.people:
            return value
        found = self._who(path, value)
        if found is None:
            return None
        try:
            check(placed(found, Path()), allowed=self.allowed)
        except BurnishError as error:
            self.trouble(path, str(error).removeprefix("by: "))
        return found

    def _who(self, path: KeyPath, value: Any) -> Any:
        """`value` with the stages and folders that it names found; None where it names nobody, which is told."""
        if value == []:
            self.trouble(path, "names nobody; name one who judges, or a list of them")
            return None
        if isinstance(value, list):
            found = [self._who((*path, i), item) for i, item in enumerate(value)]
            return None if None in found else found
        if isinstance(value, Mapping) and "judge" in value:
            return self._judge(path, value)
        if isinstance(value, Mapping) and "by" in value:
            one = self._who((*path, "by"), value["by"])
            return None if one is None else {**value, "by": one}
        if not isinstance(value, str):
            return value
        if value == "people":
            self.trouble(path, "people judge alone, in the `by:` of rank, reject or evaluate; name a judge here")
            return None
        if value == "base" or self._stages(value):
            results = self._named(path, "by", value)
            return results[0] if results else None
        here = self._place(path)
        if not path_trouble(value, here, ANYWHERE) and (here / value).exists():
            return self._path(path, value)
        if ":" in value or HUB_ID.fullmatch(value):
            return value
        near = nearest(value, self.made)
        who = "people, a stage, a reward model's folder, judges:NAME, module:function or an http address"
        self.trouble(path, f"{described(value)} is nobody who judges{near or f'; name {who}'}")
        return None

    def _judge(self, path: KeyPath, value: Mapping[str, Any]) -> Any:
        """A language model that judges, its model and the file of its rubric found."""
        found = dict(value)
        who, rubric = value["judge"], value.get("rubric")
        if isinstance(who, str) and not URL.match(who):
            results = self._named((*path, "judge"), "model", who)
            found["judge"] = results[0] if results else None
        if isinstance(rubric, str) and FILE.fullmatch(rubric):
            found["rubric"] = self._path((*path, "rubric"), rubric)
        return None if None in (found["judge"], found.get("rubric", "")) else found

    # ---- one name

    def _named(self, path: KeyPath, takes: Takes, value: Any) -> list[Any]:
        """Results of the stages that `value` names, or the one path or hub id that it is."""
        if not isinstance(value, str):
            self.trouble(path, f"must be {_meaning(Input(takes))}; found {described(value)}")
            return []
        if value == "base" and takes != "groups":
            return self._base(path, takes)
        if stages := self._stages(value):
            return [result for name in stages if (result := self._result(path, takes, name)) is not None]
        return self._file(path, value) if takes == "groups" else self._model(path, value)

    def _base(self, path: KeyPath, takes: Takes) -> list[Any]:
        base = self.written.values.get("model")
        if base is None:
            self.trouble(path, "base is the recipe's own model, and the recipe has no `model:`; add it at the top")
        elif not isinstance(base, str) or base == "base":
            self.trouble(("model",), f"must be a model's folder or hub id; found {described(base)}")
        else:
            return self._model(("model",), base)
        return []

    def _stages(self, name: str) -> tuple[str, ...]:
        """The stages of this name: one, or those that `each` made of it."""
        if name in self.made:
            return self.made[name]
        return (name,) if any(name in made for made in self.made.values()) else ()

    def _result(self, path: KeyPath, takes: Takes, stage: str) -> Result | None:
        method = self.methods[stage.split("/")[0]]
        if method not in METHODS:
            return None  # told where that stage was read
        gives = METHODS[method].gives
        wanted: tuple[Takes, ...] = ("scorer", "model") if takes == "by" else (takes,)
        for one in wanted:
            if one in gives:
                return Result(stage, gives[one])
        has = " and ".join(GIVES[one] for one in gives) or "figures only"
        self.trouble(path, f"{stage} ({method}) gives {has}, and this takes {GIVES[takes]}")
        return None

    def _place(self, path: KeyPath) -> Path:
        """Where a relative path starts: the recipe's folder, or for what was typed the folder that it was typed in."""
        return self.typed_in if self.written.is_typed(path) else self.place

    def _path(self, path: KeyPath, value: str) -> Path | None:
        place = self._place(path)
        # whoever types a path may read it; a recipe that came from elsewhere reads what it was given
        if trouble := path_trouble(value, place, ANYWHERE if self.written.is_typed(path) else self.roots):
            self.trouble(path, trouble)
            return None
        return place / value

    def _model(self, path: KeyPath, value: str) -> list[Any]:
        place = self._place(path)
        if path_trouble(value, place, ANYWHERE) or (place / value).exists():
            found = self._path(path, value)
            return [found] if found is not None else []
        if HUB_ID.fullmatch(value):
            return [value]
        near = nearest(value, ["base", *self.made])
        what = "no such model folder" if "/" in value else "no stage and no model folder has this name"
        self.missing.append(
            f"{self.written.where(path)}: {printable(value)}: {what} (looked in {place.resolve()}){near}"
        )
        return []

    def _file(self, path: KeyPath, value: str) -> list[Any]:
        found = self._path(path, value)
        if found is None:
            return []
        if not found.exists():
            there = [p.name for p in found.parent.iterdir()] if found.parent.is_dir() else []
            near = nearest(found.name, [*there, *(() if "/" in value else self.made)])
            what = "no such file" if "/" in value else "no such file, and no stage has this name"
            where = f"{self.written.where(path)}: {printable(value)}"
            self.missing.append(f"{where}: {what} (looked in {found.parent.resolve()}){near}")
        return [found]


def _meaning(takes: Input) -> str:
    kind = f" ({takes.kind})" if takes.kind else ""
    match takes.takes:
        case "groups":
            return f"a file of records{kind} or a stage that gives one"
        case "by":
            judges = "a reward stage, judges:NAME, module:function, an http address or {judge: MODEL, rubric: …}"
            return f"people, {judges}" if takes.people else judges
        case "scorer":
            return "a reward model's folder or a stage that trains one"
    served = "an http address, " if takes.served else ""
    return f"a model's folder, a hub id, {served}a stage that trains a model, or base for the recipe's own"
