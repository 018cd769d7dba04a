"""Pretraining: learn to continue plain text.

    loss = -Σ log p(token | earlier tokens) / tokens of the whole batch

Documents are joined by the end-of-text token and cut into rows of `max_length` tokens, so no token is padding; a row
may open in the middle of a document, and sees nothing of the row before it.
"""

from pathlib import Path

from pydantic import Field

from burnish.batch.texts import text_trees
from burnish.data.templates import resolve
from burnish.methods.checks import check_before_step_one
from burnish.methods.heldout import evaluation, heldout_groups, something_to_evaluate_on
from burnish.methods.inputs import DataInput, PolicyInput, as_groups, as_policy, placement
from burnish.methods.sft import next_token_loss
from burnish.models.load import fresh_policy
from burnish.models.model import Policy
from burnish.training.config import MethodConfig
from burnish.training.identity import identity
from burnish.training.loop import train_on
from burnish.training.metrics import Figures


class PretrainConfig(MethodConfig):
    learning_rate: float = Field(3e-4, gt=0, description="peak of the learning rate")
    weight_decay: float = Field(0.1, ge=0, description="AdamW's decoupled weight decay of matrices")


def pretrain(
    model: PolicyInput, data: DataInput, config: PretrainConfig, *, out: Path, evaluate_on: DataInput | None = None
) -> Figures:
    """Train `model` on text, write `out/model`, and return the figures of the last step.

    Texts of `evaluate_on` are not learned: their loss is told every `evaluate_every` steps and at the end.
    `model` may be a directory with config.json and a tokenizer and no weights: it then starts from random ones.
    """
    something_to_evaluate_on(evaluate_on, config)
    policy = started(model, config)
    template = resolve(policy.tokenizer, "none")
    groups = as_groups(data, "text", config, out)
    held = heldout_groups(evaluate_on, groups, "text", config, out)
    rows = text_trees(groups, template, max_length=config.max_length).trees
    held_rows = text_trees(held, template, max_length=config.max_length).trees if held else []
    check_before_step_one(policy, rows, template, config)
    known = identity(config, rows, model=policy)
    loss = next_token_loss(policy)
    evaluate = evaluation(policy, held_rows, loss, config)
    figures = train_on(policy, rows, loss, config, out=out, identity=known, evaluate=evaluate)
    policy.save(out / "model")
    return figures


def started(model: PolicyInput, config: PretrainConfig) -> Policy:
    """`model`, with random weights where it has none."""
    if isinstance(model, Policy) or not without_weights(model):
        return as_policy(model, config)
    return fresh_policy(model, placement(config), seed=config.seed)


def without_weights(model: str | Path) -> bool:
    return Path(model).is_dir() and not list(Path(model).glob("*.safetensors"))
