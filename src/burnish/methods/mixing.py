"""A share of pretraining or SFT loss beside what the policy learns from its own answers: PPO-ptx.

    loss = the method's own - γ · mean over the rows' learned tokens of log π(token | what stands before)

Ouyang et al. 2022, eq. 2, which adds γ·E[log π(x)] to the objective so that the policy does not unlearn what it could.
The equation has log π of a whole text, the paper does not say what either loss is divided by, and its γ of 27.8 belongs
to that. Here both are means, so γ is a ratio of two losses whose gradients are about equally long. log π is at
temperature 1, whatever answers are drawn at: texts are nobody's samples.
"""

from collections.abc import Sequence
from pathlib import Path

from burnish.batch.texts import text_trees
from burnish.batch.trees import trees
from burnish.data.templates import Template, resolve
from burnish.errors import ConfigError
from burnish.methods.inputs import DataInput, as_groups, say
from burnish.methods.on_policy_settings import OnPolicyConfig
from burnish.methods.sft import next_token_loss
from burnish.models.model import Policy
from burnish.training.identity import rows_hash
from burnish.training.order import Order, derived_seed
from burnish.training.update import Mixed
from burnish.types import Group, Tree


class Mixing:
    """Rows of `data` that learn in each update of `policy`, `mix_rows` an update.

    Which rows is a function of seed, iteration and part alone: a run that was killed, or whose passes ended sooner
    elsewhere, takes the same. Raises ConfigError for records that are neither texts nor demonstrations.
    """

    def __init__(self, data: DataInput, policy: Policy, template: Template, config: OnPolicyConfig, out: Path) -> None:
        self.rows = _rows(as_groups(data, None, config, out), policy, template, config)
        self.loss = next_token_loss(policy)
        self.weight = config.mix_weight
        self.parts = config.inner_epochs * config.minibatches
        self.config = config

    def part(self, iteration: int, part: int) -> Mixed:
        """What joins the update of this part, counted over all passes of the iteration."""
        at, each = iteration * self.parts + part, self.config.mix_rows
        order = Order(
            rows=len(self.rows),
            batch_size=each,
            steps=at + 1,
            total=(at + 1) * each,
            seed=derived_seed(self.config.seed, "mix"),
            shuffle=self.config.shuffle,
        )
        rows = order.take(self.rows, at)
        learned = sum(sum(branch.learned) for row in rows for branch in row.branches)
        return Mixed(rows, self.loss, self.weight, learned)

    def identity(self) -> dict[str, str]:
        """What a run that goes on must have again."""
        return {"mix": rows_hash(self.rows)}


def _rows(groups: Sequence[Group], policy: Policy, template: Template, config: OnPolicyConfig) -> list[Tree]:
    """Texts as pretraining reads them, joined and cut; demonstrations as SFT does."""
    for group in groups:
        judged = group.order is not None or any(answer.label is not None for answer in group.answers)
        if len(group.answers) != 1 or judged:
            raise ConfigError(
                f"mix: {group.origin}: what is mixed in are texts or demonstrations, with one answer that is to be "
                f"learned; found {len(group.answers)} answers{', judged' if judged else ''}; name a file of either kind"
            )
    if all(group.prompt == "" for group in groups):
        return text_trees(groups, resolve(policy.tokenizer, "none"), max_length=config.max_length).trees
    report = trees(
        groups,
        template,
        max_length=config.max_length,
        learn_from=config.learn_from,
        on_too_long=config.on_too_long,
    )
    say(report)
    return report.trees
