"""What a stage can do. A method is one entry here, and is then both a recipe's `method:` and a command.

A method's function is called with its inputs by keyword, with `config` and with `out`, the stage's folder, and returns
its final figures. Names of functions are text and imported on first use: a recipe is read without torch.
"""

import importlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from pydantic import BaseModel

from burnish.errors import ConfigError

Takes = Literal["model", "scorer", "groups", "by"]
"""A language model's directory or hub id, a reward model's, files of records, or who judges."""


@dataclass(frozen=True, slots=True)
class Input:
    """A key that names what a stage works on. `kind` is the record kind that its files must have; `people`: they may
    judge in it; `served`: a model behind an http address will do."""

    takes: Takes
    kind: str | None = None
    several: bool = False
    people: bool = False
    served: bool = False


@dataclass(frozen=True, slots=True)
class Method:
    """`needs`: at least one of these sets of inputs must be given whole; a setting may stand in for inputs. `beside`:
    inputs that say nothing without another. `gives`: what later stages may take, and where under the stage's folder it
    lies. `shared`: of several processes all compute it together, else the first one alone."""

    function: str
    config: str
    inputs: Mapping[str, Input]
    needs: tuple[tuple[str, ...], ...]
    gives: Mapping[Takes, str]
    beside: Mapping[str, str] = field(default_factory=dict)
    shared: bool = False

    def naming_models(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """Those of a stage's inputs that may name a model: all that are not records."""
        return {key: value for key, value in given.items() if self.inputs[key].takes != "groups"}

    def config_class(self) -> type[BaseModel]:
        found: type[BaseModel] = imported(self.config)
        return found

    def load(self) -> Callable[..., dict[str, Any]]:
        found: Callable[..., dict[str, Any]] = imported(self.function)
        return found


MODEL = Input("model")


def data(kind: str) -> dict[str, Input]:
    """What is learned, and what is held out to evaluate on."""
    rows = Input("groups", kind, several=True)
    return {"data": rows, "evaluate_on": rows}


A_MODEL: Mapping[Takes, str] = {"model": "model"}

METHODS: dict[str, Method] = {
    "pretrain": Method(
        "burnish.methods.pretrain:pretrain",
        "burnish.methods.pretrain:PretrainConfig",
        {"model": MODEL, **data("text")},
        (("model", "data"),),
        A_MODEL,
        shared=True,
    ),
    "sft": Method(
        "burnish.methods.sft:sft",
        "burnish.methods.sft:SFTConfig",
        {"model": MODEL, **data("demonstration")},
        (("model", "data"),),
        A_MODEL,
        shared=True,
    ),
    "reward": Method(
        "burnish.methods.reward:reward",
        "burnish.methods.reward:RewardConfig",
        {"model": MODEL, **data("ranking")},
        (("model", "data"),),
        {"scorer": "model"},
        shared=True,
    ),
    "dpo": Method(
        "burnish.methods.dpo:dpo",
        "burnish.methods.dpo_settings:DPOConfig",
        {"model": MODEL, **data("ranking"), "reference": MODEL},
        (("model", "data"),),
        A_MODEL,
        shared=True,
    ),
    "kto": Method(
        "burnish.methods.kto:kto",
        "burnish.methods.kto:KTOConfig",
        {"model": MODEL, **data("judgement"), "reference": MODEL},
        (("model", "data"),),
        A_MODEL,
        shared=True,
    ),
    **{
        name: Method(
            f"burnish.methods.{name}:{name}",
            f"burnish.methods.{name}:{config}",
            {
                "model": MODEL,
                "prompts": Input("groups", "prompt", several=True),
                "by": Input("by"),
                "reference": MODEL,
                "evaluate_on": Input("groups", "prompt", several=True),
                "judge": Input("by"),
                "mix": Input("groups", several=True),
            },
            (("model", "prompts", "by"),),
            A_MODEL,
        )
        for name, config in (
            ("ppo", "PPOConfig"),
            ("grpo", "GRPOConfig"),
            ("rloo", "RLOOConfig"),
            ("reinforce", "ReinforceConfig"),
            ("online_dpo", "OnlineDPOConfig"),
        )
    },
    "reject": Method(
        "burnish.methods.reject:reject",
        "burnish.methods.reject_settings:RejectConfig",
        {
            "model": MODEL,
            "prompts": Input("groups", "prompt", several=True),
            "by": Input("by", people=True),
            "evaluate_on": Input("groups", "prompt", several=True),
            "judge": Input("by"),
        },
        (("model", "prompts", "by"),),
        A_MODEL,
    ),
    "generate": Method(
        "burnish.methods.generate:generate",
        "burnish.methods.generate:GenerateConfig",
        {
            "model": Input("model", served=True),
            "prompts": Input("groups", "prompt", several=True),
            "by": Input("by"),
            "judge": Input("by"),
        },
        (("model", "prompts"),),
        {"groups": "answers.jsonl"},
    ),
    "rank": Method(
        "burnish.methods.rank:rank",
        "burnish.methods.rank:RankConfig",
        {
            "answers": Input("groups", "sample", several=True),
            "by": Input("by", people=True),
            "data": Input("groups", "ranking", several=True),
        },
        (("answers", "by"), ("data",)),
        {"groups": "ranking.jsonl"},
    ),
    "score": Method(
        "burnish.methods.score:score",
        "burnish.methods.score:ScoreConfig",
        {"model": Input("scorer"), "data": Input("groups", several=True)},
        (("model", "data"),),
        {"groups": "scores.jsonl"},
    ),
    "evaluate": Method(
        "burnish.methods.evaluate:evaluate",
        "burnish.methods.evaluate:EvaluateConfig",
        {
            "models": Input("model", several=True),
            "prompts": Input("groups", "prompt", several=True),
            "by": Input("by", people=True),
            "base": MODEL,
            "text": Input("groups", "text", several=True),
            "people": Input("groups", several=True),
        },
        (("models", "prompts", "by"), ("models", "suite")),
        {},
        {"prompts": "by", "by": "prompts", "base": "prompts", "text": "prompts", "people": "prompts"},
    ),
}


def imported(name: str) -> Any:
    """The object that `module:attribute` names. Raises ConfigError where there is none."""
    module, _, attribute = name.partition(":")
    try:
        return getattr(importlib.import_module(module), attribute)
    except ModuleNotFoundError as error:
        if error.name is None or not module.startswith(error.name):
            raise  # the module is there and misses one of its own: that is ours to mend
        raise ConfigError(f"{name}: there is no module {error.name}") from None
    except AttributeError:
        raise ConfigError(f"{name}: {module} has no {attribute!r}") from None
