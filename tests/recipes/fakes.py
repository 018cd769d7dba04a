"""Methods of ten lines, registered by the front door: what they are given is what a test sees."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pydantic import Field

from burnish.errors import DataError
from burnish.methods.evaluate import EvaluateConfig
from burnish.training.config import MethodConfig

CALLS: list[dict[str, Any]] = []


class WriteConfig(MethodConfig):
    text: str = Field("hello", description="what is written")
    beta: float = Field(0.1, gt=0, description="a price")


def write(
    model: str | Path, data: Sequence[Path], config: WriteConfig, *, out: Path, reference: Path | None = None
) -> dict[str, float]:
    """A model folder that holds `text`; a data file that says `fail` makes it fail after a checkpoint."""
    CALLS.append({"model": model, "data": data, "config": config, "out": out, "reference": reference})
    (out / "checkpoints/step-000001").mkdir(parents=True, exist_ok=True)
    if any("fail" in path.read_text() for path in data):
        raise DataError("the data says fail")
    (out / "model").mkdir(exist_ok=True)
    (out / "model/weights").write_text(config.text)
    return {"loss": 1.5, "beta": config.beta}


def judge(
    models: dict[str, Path | str], by: Any, config: EvaluateConfig, *, out: Path, prompts: Any = None
) -> dict[str, Any]:
    """Every model but the first wins on 60 % of prompts."""
    CALLS.append({"models": models, "by": by, "out": out})
    first = next(iter(models))
    won = {"win_rate": 0.6, "win_rate_low": 0.55, "win_rate_high": 0.65}
    return {name: {"win_rate": 0.5} if name == first else won for name in models}


def answer(model: Path, config: WriteConfig, *, out: Path) -> dict[str, float]:
    CALLS.append({"model": model, "out": out})
    (out / "answers.jsonl").write_text('{"prompt": "a", "answers": ["b"]}\n')
    return {"answers": 1.0}
