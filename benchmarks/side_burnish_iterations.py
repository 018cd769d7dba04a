"""burnish's side of rows that draw answers and learn from them: whole iterations of PPO or GRPO.

    python benchmarks/side_burnish_iterations.py ROW MODEL FOLDER SETTINGS

SETTINGS is JSON, see drawn_rows.py. A turn is an iteration, from prompts to the line of metrics; `sampling` is what of
it the engine took. The answers of the first are left in FOLDER/rollouts.json, for the other side to learn from.
"""

import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from share_of_e import share_of_e
from side_burnish import give_back, matrices, passes_to_learn, work
from turns import Turns

import burnish.methods.grpo as grpo_method
import burnish.methods.ppo as ppo_method
from burnish.methods.grpo import GRPOConfig, grpo
from burnish.methods.on_policy import OnPolicy
from burnish.methods.policy_loss import Answers
from burnish.methods.ppo import PPOConfig, ppo
from burnish.rollout.local import LocalEngine
from burnish.types import Prompt, Rollout, Tree

NEVER = "<file_sep>"
"""The end token of these rows, which the model never writes: all answers have all their tokens, on both sides."""

TOLD = ("loss", "value_loss", "grad_norm", "tokens")


def shares(_: Sequence[Prompt], answers: Sequence[str]) -> list[float]:
    return [share_of_e(answer) for answer in answers]


class TimedEngine(LocalEngine):
    seconds = 0.0

    def sample(self, *given: Any, **settings: Any) -> list[Rollout]:
        began = time.perf_counter()
        rollouts = super().sample(*given, **settings)
        self.seconds = time.perf_counter() - began
        return rollouts


def in_turns(turns: Turns, folder: Path) -> type[OnPolicy]:
    """A run whose iterations wait for their turn, and whose answers never end before their last token."""

    class InTurns(OnPolicy):
        def __init__(self, *given: Any, **settings: Any) -> None:
            super().__init__(*given, **settings)
            self.engine = self.timed = TimedEngine(self.policy)
            self.ends = [self.policy.tokenizer.convert_tokens_to_ids(NEVER)]
            self.read["end_tokens"] = self.ends
            self.told: dict[str, float] = {}

        def answers(self, prompts: Sequence[Tree], i: int, *, paid: float) -> Answers:
            if i:
                said = json.loads((self.out / "metrics.jsonl").read_text().splitlines()[-1])
                self.told |= {name: said[name] for name in TOLD if name in said}
            give_back()
            turns.next(**self.told)
            answers = super().answers(prompts, i, paid=paid)
            if not i:
                rows = [[tree.prompt, [branch.tokens for branch in tree.branches]] for tree in answers.trees]
                (folder / "rollouts.json").write_text(json.dumps(rows))
            self.told = {"sampling": self.timed.seconds, **self.worth(answers.trees)}
            return answers

        def worth(self, trees: list[Tree]) -> dict[str, float]:
            """Multiplications and additions of the iteration, sampling and all else; π_old and reference are passes."""
            body, head = matrices(self.policy)
            answers = [branch.tokens for tree in trees for branch in tree.branches]
            written = sum(map(len, answers))
            computed = sum(len(tree.prompt) for tree in trees) + written - len(answers)
            scorers = self.rewards.readers
            critics = [] if self.policy.value_head is not None else scorers
            passes = passes_to_learn(self.policy) * self.config.inner_epochs
            learning = (2 + passes) * work(self.policy, trees) + sum(work(scorer, trees) for scorer in scorers)
            learning += sum((1 + passes) * work(critic, trees) for critic in critics)
            return {"learning_work": learning, "sampling_work": 2.0 * (body * computed + head * written)}

    return InTurns


def main(row: str, model: str, folder: Path, settings: dict[str, Any]) -> None:
    turns = Turns()
    run = in_turns(turns, folder)
    prompts, out = folder / "prompts.jsonl", folder / "burnish"
    if row == "grpo":
        grpo_method.OnPolicy = run  # type: ignore[misc]  # the method makes its run itself
        grpo(model, prompts, GRPOConfig(**settings), by=shares, out=out)
    else:
        ppo_method.OnPolicy = run  # type: ignore[misc]
        ppo(model, prompts, PPOConfig(**settings), by=folder / "start", out=out)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], Path(sys.argv[3]), json.loads(sys.argv[4]))
