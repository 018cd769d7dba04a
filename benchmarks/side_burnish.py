"""burnish's side: its loop and its losses on the rows that both sides read.

    python benchmarks/side_burnish.py ROW MODEL FOLDER STEPS BATCH RATE MICRO_BATCH_TOKENS

A turn is a whole step of the loop, from packing to the line of metrics. What a turn was worth is told too:

    work = 6 · body matrices · tokens computed + 6 · head · tokens projected

with 2 in place of 6 where no gradient is taken (the reference, KTO's answers to other prompts). Attention and what is
computed again are not work.
"""

import ctypes
import json
import platform
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from turns import Turns

from burnish.batch.pack import Key
from burnish.methods.dpo import DPOConfig, dpo_loss
from burnish.methods.kto import BAD, GOOD, KTOConfig, apart, by_prompt, kto_loss
from burnish.methods.reward import RewardConfig, order_loss
from burnish.methods.sft import SFTConfig, next_token_loss
from burnish.models.load import Placement, load_policy, load_scorer
from burnish.models.model import Policy, Scorer
from burnish.training.config import MethodConfig
from burnish.training.loop import train
from burnish.training.metrics import Figures
from burnish.training.update import Loss, Update, WholeBatch, loss_on
from burnish.types import Branch, Tree

CONFIGS = {"sft": SFTConfig, "reward": RewardConfig, "dpo": DPOConfig, "kto": KTOConfig}


def trees_of(kind: str, file: Path) -> list[Tree]:
    trees = []
    for group, line in enumerate(file.read_text().splitlines()):
        row = json.loads(line)
        if kind == "kto":
            own, other = (tuple(row[name]) for name in ("answer", "other"))
            branches = [
                Branch(own, (True,) * len(own), place=GOOD if row["good"] else BAD, answer=0),
                Branch(other, (True,) * len(other), place=-1, answer=-1),
            ]
            trees.append(Tree(tuple(row["prompt"]), tuple(branches), group=group))
            continue
        answers = [row["chosen"]] if kind == "sft" else [row["chosen"], row["rejected"]]
        branches = [
            Branch(tuple(ids), (True,) * len(ids), place=place, answer=place) for place, ids in enumerate(answers)
        ]
        trees.append(Tree(tuple(row["prompt"]), tuple(branches), group=group))
    return trees


def matrices(learner: Policy | Scorer) -> tuple[int, int]:
    """Weights in the matrices of the body, and of the head."""
    weights = learner.model.base_model.named_parameters()
    body = sum(p.numel() for name, p in weights if p.dim() == 2 and "embed" not in name and "lora" not in name)
    if isinstance(learner, Scorer):
        return body, learner.score_head.weight.numel()
    return body, learner.head.weight_VD.numel()


def work(learner: Policy | Scorer, trees: list[Tree]) -> float:
    """Multiplications and additions of one forward pass."""
    body, head = matrices(learner)
    tokens = sum(tree.size for tree in trees)
    if isinstance(learner, Scorer):
        return 2.0 * (body * tokens + head * sum(len(tree.branches) for tree in trees))
    projected = sum(sum(branch.learned) for tree in trees for branch in tree.branches)
    return 2.0 * (body * tokens + head * projected)


def passes_to_learn(learner: Policy | Scorer) -> int:
    """What a step is worth in forward passes. Weights that an adapter leaves as they are have no gradient."""
    return 3 if learner.adapter is None else 2


def sums(policy: Policy, trees: list[Tree], budget: int) -> dict[Key, torch.Tensor]:
    """log p of each answer, as DPO keeps it of its reference."""
    return {key: logprob_L.sum().reshape(1) for key, logprob_L in policy.frozen_logprobs(trees, budget).items()}


def prepared(
    kind: str,
    model_path: str,
    batch: int,
    rate: float,
    budget: int,
    *,
    others: Mapping[int, Tree] | None = None,
    **settings: Any,
) -> tuple[Policy | Scorer, MethodConfig, dict[Key, torch.Tensor], Loss | WholeBatch]:
    """The model, its settings, the table that the loss reads its reference from (empty as yet), and the loss.

    `others`: of each row of KTO, the same prompt with another's answer. `settings`: keys of the method's config.
    """
    place = Placement(device="cpu", dtype="float32")
    learner = load_scorer(model_path, place) if kind == "reward" else load_policy(model_path, place)
    config: MethodConfig = CONFIGS[kind](
        learning_rate=rate, schedule="constant", batch_size=batch, micro_batch_tokens=budget, shuffle=False, **settings
    )
    reference_N: dict[Key, torch.Tensor] = {}
    loss: Loss | WholeBatch
    if isinstance(learner, Scorer):
        loss = order_loss(learner, config)
    elif kind == "sft":
        loss = next_token_loss(learner)
    elif kind == "kto":
        loss = kto_loss(learner, reference_N, others or {}, config)
    else:
        loss = dpo_loss(learner, reference_N, config)
    return learner, config, reference_N, loss


def give_back() -> None:
    """Hand free memory to the system while the other side works: both sides with a reference fill 24 GB otherwise.

    Counted in the turn that ends, and the next one has to ask for it again, so it is no advantage.
    """
    if sys.platform == "linux" and platform.libc_ver()[0] == "glibc":
        ctypes.CDLL("libc.so.6").malloc_trim(0)


def main(row: str, model_path: str, folder: Path, steps: int, batch: int, rate: float, budget: int) -> None:
    turns = Turns()
    kind = row.partition("-")[0]
    trees = trees_of(kind, folder / "rows.jsonl")
    batches = [trees[i : i + batch] for i in range(0, len(trees), batch)]
    others: dict[int, Tree] = {}
    if kind == "kto":
        together = [by_prompt(part) for part in batches]
        trees = [tree for part in together for tree in part]
        others = apart(trees)[1]
        batches = [apart(part)[0] for part in together]
    settings = {"weight": "pair"} if kind in ("reward", "dpo") else {}
    learner, config, reference_N, loss = prepared(kind, model_path, batch, rate, budget, others=others, **settings)
    reference = load_policy(model_path, Placement(device="cpu", dtype="float32")) if row == "dpo-inside" else None
    update = Update(learner, config)
    if row in ("dpo", "kto"):
        turns.next()
        reference_N.update(sums(learner, trees, budget))
    told: Figures = {}

    def step(i: int) -> Figures:
        if i == steps and (folder / "keep").exists():
            learner.save(folder / "burnish-trained")
        turns.next(**told)
        part = batches[i % steps]
        if reference is not None:
            reference_N.update(sums(reference, part, budget))
        figures = update(part, loss_on(part, loss), step=i, steps=steps, whole=kind != "sft")
        beside = [others[tree.group] for tree in part if others]
        told.update(loss=figures["loss"], tokens=figures["tokens"] + sum(tree.size for tree in beside))
        told["work"] = (3 + (reference is not None)) * work(learner, part) + work(learner, beside)
        if kind in ("dpo", "kto"):
            give_back()
        return figures

    train({"model": update}, steps + 1, step, config, out=folder / "burnish", identity={})


if __name__ == "__main__":
    row, model, folder, steps, batch, rate, budget = sys.argv[1:]
    main(row, model, Path(folder), int(steps), int(batch), float(rate), int(budget))
