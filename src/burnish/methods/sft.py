"""SFT: learn to give the answers that people wrote.

    loss = -Σ log p(token | prompt, earlier tokens) / learned tokens of the whole batch

Reads demonstrations. Only the answer's tokens and its end are learned; with `learn_from: all`, every assistant turn of
a conversation, computed once.
"""

from pathlib import Path

from pydantic import Field

from burnish.batch.pack import TreeBatch
from burnish.batch.trees import trees
from burnish.data.templates import resolve
from burnish.methods.checks import check_before_step_one
from burnish.methods.heldout import evaluation, heldout_groups, something_to_evaluate_on
from burnish.methods.inputs import DataInput, PolicyInput, as_groups, as_policy, say
from burnish.models.model import Policy
from burnish.objectives import likelihood
from burnish.training.config import MethodConfig
from burnish.training.identity import identity
from burnish.training.loop import train_on
from burnish.training.metrics import Figures
from burnish.training.update import Loss, StepLoss


class SFTConfig(MethodConfig):
    learning_rate: float = Field(2e-5, gt=0, description="peak of the learning rate")


def sft(
    model: PolicyInput, data: DataInput, config: SFTConfig, *, out: Path, evaluate_on: DataInput | None = None
) -> Figures:
    """Train `model` on demonstrations, write `out/model`, and return the figures of the last step.

    Demonstrations of `evaluate_on` are not learned: their loss is told every `evaluate_every` steps and at the end.
    """
    something_to_evaluate_on(evaluate_on, config)
    policy = as_policy(model, config)
    template = resolve(policy.tokenizer, config.template)
    groups = as_groups(data, "demonstration", config, out)
    held = heldout_groups(evaluate_on, groups, "demonstration", config, out)
    report, held_report = (
        trees(
            some,
            template,
            max_length=config.max_length,
            learn_from=config.learn_from,
            on_too_long=config.on_too_long,
        )
        for some in (groups, held)
    )
    say(report)
    check_before_step_one(policy, report.trees, template, config)
    known = identity(config, report.trees, model=policy)
    loss = next_token_loss(policy)
    evaluate = evaluation(policy, held_report.trees, loss, config)
    figures = train_on(policy, report.trees, loss, config, out=out, identity=known, evaluate=evaluate)
    policy.save(out / "model")
    return figures


def next_token_loss(policy: Policy) -> Loss:
    """Cross-entropy of the learned tokens, counted in tokens."""

    def loss(batch: TreeBatch) -> StepLoss:
        loss_L = likelihood.cross_entropy(policy.logprobs(batch))
        return StepLoss(total=loss_L.sum(), count=len(loss_L))

    return loss
