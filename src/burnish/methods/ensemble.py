"""An ensemble of reward models: each learned from its own bootstrap sample of the prompts, and where they differ nobody
knows.

    s = mean_m s_m        u = √(Σ_m (s_m - s)² / (M - 1))        s - c · u, where `uncertainty_penalty: c` is set

Over M members. With the penalty an answer that only some members like gains little by it (Coste et al. 2023, Reward
model ensembles help mitigate overoptimization, with the variance in the place of the deviation).

Members share the weights that they start from, so they share what those do not know: where all are wrong alike, u is
small (Eisenstein et al. 2023, Helping or herding?).
"""

import json
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from burnish.batch.pack import Key
from burnish.data.problems import described
from burnish.data.split import prompt_key
from burnish.data.strict_json import parse
from burnish.errors import ConfigError, DataError
from burnish.rewards.scores import Table
from burnish.training.checkpoint import write_durably
from burnish.types import Group, Tree

FILE = "ensemble.json"
MOST = 64


def bootstrap(rows: Sequence[Tree], groups: Sequence[Group], seed: int) -> list[Tree]:
    """As many prompts as there are, drawn with replacement, each with all of its rows (Efron 1979).

    Prompts and not rows: rankings of one prompt by several people are no independent observations.
    """
    of_prompt: dict[object, list[Tree]] = {}
    for tree in rows:
        of_prompt.setdefault(prompt_key(groups[tree.group]), []).append(tree)
    prompts = list(of_prompt.values())
    drawn = np.random.Generator(np.random.Philox(seed)).integers(len(prompts), size=len(prompts))
    return [tree for index in drawn for tree in prompts[index]]


def member_folder(folder: Path, number: int) -> Path:
    """Where member `number`, counted from 1, lies; with `lora` its adapter lies beside it."""
    return folder / str(number) / "model"


def write_ensemble(folder: Path, members: int) -> None:
    """Say that `folder` holds members 1 to `members`, each a reward model at `member_folder`."""
    write_durably(folder / FILE, json.dumps({"members": members}))


def members(model: object) -> list[Path]:
    """The members' folders where `model` is an ensemble's folder; empty for anything else.

    Raises DataError where one that should be there is not.
    """
    if not isinstance(model, str | Path) or not (Path(model) / FILE).is_file():
        return []
    value = parse((Path(model) / FILE).read_text(encoding="utf-8"))
    count = value.get("members") if isinstance(value, dict) else None
    if isinstance(count, bool) or not isinstance(count, int) or not 2 <= count <= MOST:
        raise DataError(f"{Path(model) / FILE}: members must be 2 to {MOST}; found {described(count)}")
    found = [member_folder(Path(model), number + 1) for number in range(count)]
    for folder in found:
        if not (folder / "config.json").is_file():
            raise DataError(f"{folder}: a member of the ensemble is not there; run the stage that made it again")
    return found


def refuse_ensemble(model: object, who: str) -> None:
    """Raise ConfigError where one reward model is wanted and `model` is several."""
    if found := members(model):
        raise ConfigError(f"{model}: is an ensemble of {len(found)}, and {who} takes one model; name {found[0]}")


def mean_table(tables: Sequence[Mapping[Key, Tensor]]) -> dict[Key, Tensor]:
    """Mean over members of what each has of an answer."""
    return {key: torch.stack([table[key] for table in tables]).mean(0) for key in tables[0]}


def mean_of(tables: Sequence[Table]) -> Table:
    """Mean over members of every answer's score."""
    return [[statistics.fmean(s) for s in zip(*rows, strict=True)] for rows in zip(*tables, strict=True)]


def deviation_of(tables: Sequence[Table]) -> Table:
    """Standard deviation over members of every answer's score, from M - 1 degrees of freedom."""
    return [[statistics.stdev(s) for s in zip(*rows, strict=True)] for rows in zip(*tables, strict=True)]


def lower_bound(tables: Sequence[Table], penalty: float) -> Table:
    """mean - penalty · deviation."""
    return [
        [mean - penalty * deviation for mean, deviation in zip(mean_K, deviation_K, strict=True)]
        for mean_K, deviation_K in zip(mean_of(tables), deviation_of(tables), strict=True)
    ]
