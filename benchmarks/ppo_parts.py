"""Where the time of one of PPO's iterations goes: sampling, scoring, the passes before learning, learning.

    python benchmarks/ppo_parts.py [--prompts 8] [--samples 4] [--tokens 48] [--iterations 3] [--set critic.kind=shared]

SmolLM2-135M on HH's prompts with a fresh reward model, burnish alone. Each part's median seconds after a first
iteration, its share, and how near it comes to the rate of a plain large matrix product by what it has to multiply.
"""

import argparse
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median
from typing import Any

import torch
from side_burnish import matrices, passes_to_learn, work
from side_product import Product
from table import HERE, commit, machine

import burnish.methods.ppo as ppo_method
from burnish.methods.drawn import Drawn
from burnish.methods.on_policy import OnPolicy
from burnish.methods.policy_loss import Answers
from burnish.methods.ppo import PPOConfig, ppo
from burnish.training.config import resolve, settings_from
from burnish.training.metrics import Figures
from burnish.types import Rollout, Tree

PARTS = ("sampling", "scoring", "old and reference", "critic's pass", "learning")
told: list[dict[str, tuple[float, float]]] = []
"""Of each iteration: part → seconds, and multiplications and additions."""


def timed(call: Callable[..., Any], *given: Any, **settings: Any) -> tuple[Any, float]:
    began = time.perf_counter()
    result = call(*given, **settings)
    return result, time.perf_counter() - began


class InParts(OnPolicy):
    """Notes the seconds of each part of an iteration."""

    def draw(self, prompts: Sequence[Tree], seed: int) -> Drawn:
        sample = self.engine.sample

        def timed_sample(*given: Any, **settings: Any) -> list[Rollout]:
            rollouts: list[Rollout]
            rollouts, self.sampling = timed(sample, *given, **settings)
            return rollouts

        self.engine.sample = timed_sample  # type: ignore[method-assign]
        drawn: Drawn
        drawn, self.drawing = timed(super().draw, prompts, seed)
        self.engine.sample = sample  # type: ignore[method-assign]
        return drawn

    def answers(self, prompts: Sequence[Tree], i: int) -> Answers:
        answers: Answers
        answers, seconds = timed(super().answers, prompts, i)
        body, head = matrices(self.policy)
        written = [len(branch.tokens) for tree in answers.trees for branch in tree.branches]
        computed = sum(len(tree.prompt) for tree in answers.trees) + sum(written) - len(written)
        scoring = sum(work(scorer, answers.trees) for scorer in self.rewards.readers)
        told.append(
            {
                "sampling": (self.sampling, 2.0 * (body * computed + head * sum(written))),
                "scoring": (self.drawing - self.sampling, scoring),
                "old and reference": (seconds - self.drawing, 2 * work(self.policy, answers.trees)),
            }
        )
        self.answered = time.perf_counter()
        return answers

    def learn(self, answers: Answers, *given: Any, **settings: Any) -> Figures:
        separate = self.policy.value_head is None
        critic = work(self.rewards.readers[0], answers.trees) if separate else 0.0
        told[-1]["critic's pass"] = (time.perf_counter() - self.answered, critic)
        figures: Figures
        figures, seconds = timed(super().learn, answers, *given, **settings)
        passes = passes_to_learn(self.policy) * self.config.inner_epochs
        told[-1]["learning"] = (seconds, passes * (work(self.policy, answers.trees) + critic))
        return figures


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--model", type=Path, default=HERE.parent / "models" / "smollm2")
    parser.add_argument("--data", type=Path, default=HERE.parent / "data" / "hh_harmless.jsonl.gz")
    parser.add_argument("--prompts", type=int, default=8, help="prompts an iteration")
    parser.add_argument("--samples", type=int, default=4, help="answers a prompt")
    parser.add_argument("--tokens", type=int, default=48, help="most tokens of an answer")
    parser.add_argument("--iterations", type=int, default=3, help="the first is left out")
    parser.add_argument("--set", action="append", default=[], help="a setting of ppo, such as critic.kind=shared")
    options = parser.parse_args()
    torch.set_num_threads(2)
    settings = [
        f"steps={options.iterations}",
        f"batch_size={options.prompts}",
        f"samples={options.samples}",
        f"sampling.max_new_tokens={options.tokens}",
        "on_too_long=skip",
        "dtype=float32",
        *options.set,
    ]
    config = resolve(PPOConfig, settings_from(settings))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        rows = options.iterations * options.prompts
        given = ["ppo", str(options.model), name, str(rows), str(options.data), str(options.tokens)]
        subprocess.run([sys.executable, str(HERE / "rows.py"), *given], check=True)
        ppo_method.OnPolicy = InParts  # type: ignore[misc]  # the method makes its run itself
        ppo(options.model, folder / "prompts.jsonl", config, by=folder / "start", out=folder / "ppo")
    product = Product()
    limit = median(product.rate() for _ in range(5))
    seconds = {part: median(iteration[part][0] for iteration in told[1:]) for part in PARTS}
    for part in PARTS:
        near = median(iteration[part][1] / iteration[part][0] for iteration in told[1:]) / limit
        share = seconds[part] / sum(seconds.values())
        print(f"{part:18} {seconds[part]:7.2f} s  {share:4.0%}  of the product {near:4.0%}")
    print(f"product {limit / 1e9:.0f} GFLOP/s; commit {commit()}; {machine()}")


if __name__ == "__main__":
    main()
