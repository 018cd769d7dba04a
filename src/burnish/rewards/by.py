"""Who judges: what stands behind `by:` becomes functions of prompts and answers, or names a reward model.

    judges:NAME               a judge that ships with burnish
    module:function           a function in a file beside the recipe, where code is allowed
    https://host/path         an endpoint
    anything else             a reward model: a folder, or a hub id
    {by: ONE, weight: 0.5}    one of these with its weight; also `name`, an endpoint's own keys, and of an ensemble of
                              reward models `uncertainty_penalty`: deviations that are taken off its mean
    {judge: ONE, rubric: …}   a language model with a rubric: a folder, a hub id, or an OpenAI-compatible http address
    a list of these           the weighted sum of all, each reported

Models are loaded by whoever knows where they are to run: here they are only named. So who asks for a function of text
hands in how to get one of a reward model.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from burnish.data.problems import described, listed, nearest
from burnish.errors import ConfigError
from burnish.rewards import function
from burnish.rewards.chat import chat
from burnish.rewards.endpoint import Endpoint
from burnish.rewards.judges import shipped
from burnish.rewards.rubric import ASKS, Criteria, RubricJudge, rubric_text
from burnish.rewards.scores import TextReward
from burnish.types import Prompt

URL = re.compile(r"https?://", re.IGNORECASE)
ENDPOINT_KEYS = ("timeout", "retries", "batch_size", "token_env")
KEYS = ("by", "weight", "name", "uncertainty_penalty", *ENDPOINT_KEYS)
CHAT_KEYS = ("model", "timeout", "retries", "token_env", "at_once", "max_tokens", "logprobs", "max_unreadable")
JUDGE_KEYS = ("judge", "rubric", "ask", "weight", "name", "template", *CHAT_KEYS)
KINDS: Mapping[str, type | tuple[type, ...]] = {
    "timeout": (int, float),
    "retries": int,
    "batch_size": int,
    "token_env": str,
    "model": str,
    "at_once": int,
    "max_tokens": int,
    "logprobs": str,
    "max_unreadable": (int, float),
    "template": str,
}

LoadModel = Callable[[str | Path], TextReward]


@dataclass(frozen=True, slots=True)
class Allowed:
    """What the command line permits. `place`: the recipe's folder, where functions are looked for."""

    place: Path = field(default_factory=Path)
    code: bool = False
    insecure: bool = False


@dataclass(frozen=True, slots=True)
class Part:
    """One who judges: a model, or a function of text. Exactly one of `model` and `judge` is set.

    `model` is a reward model, or where there are `criteria` a language model that judges by them, asked through
    `template`. `uncertainty_penalty`: what is taken off an ensemble's mean, in its deviations.

    A `RubricJudge` as `judge` may compare pairs, and is then no function of single answers.
    """

    name: str
    weight: float = 1.0
    model: str | Path | None = None
    judge: TextReward | None = None
    criteria: Criteria | None = None
    template: str = "auto"
    uncertainty_penalty: float = 0.0


@dataclass(frozen=True, slots=True)
class Reward:
    """The weighted sum of functions of text. Call it for the sums, or ask `by_part` for each part's own scores."""

    parts: tuple[tuple[str, float, TextReward], ...]

    def __call__(self, prompts: Sequence[Prompt], answers: Sequence[str]) -> list[float]:
        return self.total(self.by_part(prompts, answers))

    def by_part(self, prompts: Sequence[Prompt], answers: Sequence[str]) -> dict[str, list[float]]:
        """Each part's scores, as it gave them, by its name."""
        return {name: [float(score) for score in judge(prompts, answers)] for name, _, judge in self.parts}

    def total(self, scores: Mapping[str, Sequence[float]]) -> list[float]:
        """Σ weight · score over the parts, an answer at a time."""
        return weighted([(weight, scores[name]) for name, weight, _ in self.parts])


def text_reward(by: Any, *, allowed: Allowed | None = None, model: LoadModel | None = None) -> Reward:
    """Everyone behind `by` as one function of prompts and answers. `model` makes such a function of a reward model.

    Raises ConfigError for what is nobody, for what is not allowed, and for a reward model where `model` is not given.
    """
    made: list[tuple[str, float, TextReward]] = []
    for part in parts(by, allowed=allowed):
        judge = part.judge
        if judge is None:
            if model is None or part.model is None or part.criteria is not None:
                raise ConfigError(f"by: {part.name}: a model cannot judge here; name a judge, or an endpoint")
            judge = model(part.model)
        made.append((part.name, part.weight, judge))
    return Reward(tuple(made))


def parts(by: Any, *, allowed: Allowed | None = None) -> tuple[Part, ...]:
    """Everyone behind `by`, one alone or the parts of a list. Raises ConfigError, MissingInput."""
    items = by if isinstance(by, list | tuple) else [by]
    if not items:
        raise ConfigError("by: names nobody; name one who judges, or a list of them")
    made = tuple(_part(item, allowed or Allowed(), load=True) for item in items)
    names = [part.name for part in made]
    for name in names:
        if names.count(name) > 1:
            raise ConfigError(f"by: two parts are called {name}; give each a name, such as {{by: …, name: other}}")
    return made


def check(by: Any, *, allowed: Allowed | None = None) -> None:
    """Raise what `parts` would, without running anybody's code: hours of training may come before a judge is asked."""
    for item in by if isinstance(by, list | tuple) else [by]:
        _part(item, allowed or Allowed(), load=False)


def weighted(scores: Sequence[tuple[float, Sequence[float]]]) -> list[float]:
    """Σ weight · score, an answer at a time."""
    columns = [[weight * score for score in given] for weight, given in scores]
    return [sum(row) for row in zip(*columns, strict=True)]


def _part(item: Any, allowed: Allowed, *, load: bool) -> Part:
    if isinstance(item, Part):
        return item
    options: dict[str, Any] = {}
    if isinstance(item, Mapping):
        options = dict(item)
        if "judge" in options:
            return _judge(options, allowed)
        _known(options, KEYS)
        item = options.pop("by", None)
    weight, name = _weight_and_name(options)
    if callable(item):
        made = item if isinstance(item, function.Function) else function.Function(_called(item), item)
        return Part(name or made.name, weight, judge=made)
    if not isinstance(item, str | Path) or not str(item):
        raise ConfigError(f"by: must say who judges; found {described(item)}")
    text = str(item)
    penalty = options.pop("uncertainty_penalty", 0.0)
    if isinstance(penalty, bool) or not isinstance(penalty, int | float) or not 0 <= penalty < float("inf"):
        raise ConfigError(f"by: uncertainty_penalty: must be a number from 0 on; found {described(penalty)}")
    if penalty and (text.startswith("judges:") or URL.match(text) or function.NAME.fullmatch(text)):
        raise ConfigError(f"by: {text}: uncertainty_penalty is of an ensemble of reward models, and this is none")
    if options and not URL.match(text):
        raise ConfigError(f"by: {text}: {listed(options)} are keys of an http address, and this is none")
    if text == "people":
        raise ConfigError("by: people: people judge alone, in the `by:` of rank, reject or evaluate; name a judge here")
    if isinstance(item, str) and text.startswith("judges:"):
        return Part(name or text, weight, judge=shipped(text.removeprefix("judges:")))
    if isinstance(item, str) and URL.match(text):
        endpoint = _endpoint(text, options, allowed)
        return Part(name or endpoint.name, weight, judge=endpoint)
    if isinstance(item, str) and function.NAME.fullmatch(text):
        find = function.load_function if load else function.source
        found = find(text, allowed.place, allow_code=allowed.code)
        return Part(name or text, weight, judge=found if isinstance(found, function.Function) else None)
    if isinstance(item, str) and ":" in text:
        raise ConfigError(
            f"by: {text}: is nobody who judges; name judges:NAME, module:function, an http address or a reward model"
        )
    return Part(name or model_name(text), weight, model=item, uncertainty_penalty=float(penalty))


def _called(given: object) -> str:
    return str(getattr(given, "__name__", "function"))


def _known(options: Mapping[str, Any], keys: Sequence[str]) -> None:
    for key in options:
        if key not in keys:
            raise ConfigError(f"by: {key}: unknown key; known are {listed(keys)}{nearest(str(key), keys)}")


def _weight_and_name(options: dict[str, Any]) -> tuple[float, str | None]:
    weight, name = options.pop("weight", 1.0), options.pop("name", None)
    if isinstance(weight, bool) or not isinstance(weight, int | float) or not abs(weight) < float("inf"):
        raise ConfigError(f"by: weight: must be a number; found {described(weight)}")
    if name is not None and not isinstance(name, str):
        raise ConfigError(f"by: name: must be text; found {described(name)}")
    return float(weight), name


def _checked(who: str, options: Mapping[str, Any]) -> Mapping[str, Any]:
    for key, value in options.items():
        if isinstance(value, bool) or not isinstance(value, KINDS[key]):
            raise ConfigError(f"by: {who}: {key}: found {described(value)}")
    return options


def _endpoint(url: str, options: Mapping[str, Any], allowed: Allowed) -> Endpoint:
    return Endpoint(url, insecure=allowed.insecure, **_checked(str(urlsplit(url).hostname), options))


def _judge(options: dict[str, Any], allowed: Allowed) -> Part:
    """`{judge: …}`: one behind http is ready to be asked, a model is only named."""
    _known(options, JUDGE_KEYS)
    weight, name = _weight_and_name(options)
    who, rubric, ask = options.pop("judge"), options.pop("rubric", None), options.pop("ask", "pairs")
    if not isinstance(who, str | Path) or not str(who) or str(who).startswith("judges:") or who == "people":
        raise ConfigError(
            f"by: judge: must be a language model's folder, hub id or http address; found {described(who)}. "
            "What ships with burnish needs no rubric: by: judges:NAME"
        )
    if not isinstance(rubric, str | Path):
        raise ConfigError(
            f"by: rubric: what makes an answer better, as text or the name of a .md or .txt file; found "
            f"{described(rubric)}"
        )
    if ask not in ASKS:
        raise ConfigError(f"by: ask: must be {listed(ASKS)}; found {described(ask)}")
    criteria = Criteria(rubric_text(rubric, allowed.place), ask)
    remote = bool(URL.match(str(who)))
    other = [key for key in options if (key in CHAT_KEYS) != remote]
    if other:
        where = "a model that is loaded here" if remote else "an http address"
        raise ConfigError(f"by: judge: {listed(other)}: of {where}, and {described(str(who))} is none")
    if options.get("logprobs") is False:
        options["logprobs"] = "off"  # which YAML 1.1 takes for no
    _checked("judge", options)
    if remote:
        asked = chat(str(who), insecure=allowed.insecure, **options)
        return Part(name or asked.name, weight, judge=RubricJudge(asked, criteria))
    return Part(name or model_name(str(who)), weight, model=who, criteria=criteria, **options)


def model_name(path: str) -> str:
    """What tells a model from others: `runs/a/reward/model` is reward, `org/name` is name."""
    steps = [step for step in re.split(r"[/\\]", path) if step not in ("", ".", "..")]
    return (steps[-2] if len(steps) > 1 and steps[-1] == "model" else steps[-1]) if steps else path
