"""One training stage at a time, with the keys that it has in a recipe."""

from pathlib import Path
from typing import Any

import typer

from burnish.cli.common import (
    AllowOption,
    ByOption,
    CodeOption,
    DataOption,
    EvaluateOnOption,
    InsecureOption,
    JudgeOption,
    MixOption,
    ModelOption,
    OutOption,
    PromptsOption,
    ReferenceOption,
    RewardByOption,
    SetOption,
    command,
    settings_of,
)

app = typer.Typer()


def one(
    method: str,
    out: Path,
    settings: list[str] | None,
    seed: int | None,
    allow_changed: list[str] | None,
    allow_code: bool = False,
    insecure: bool = False,
    **inputs: Any,
) -> dict[str, Any]:
    """Read one command's options as a stage, run it in `out`, and return its figures."""
    from burnish.recipes.load import one_stage
    from burnish.recipes.run import run_stage

    # before the model, so that a mistyped key costs no load
    stage = one_stage(method, inputs, settings_of(settings, seed), allow_code=allow_code, insecure=insecure)
    return run_stage(stage, out, allow_changed=allow_changed or ())


@command(app, shared=True)
def pretrain(
    model: ModelOption,
    data: DataOption,
    out: OutOption,
    evaluate_on: EvaluateOnOption = None,
    settings: SetOption = None,
    allow_changed: AllowOption = None,
    seed: int | None = None,
) -> dict[str, Any]:
    """Learn to continue plain text. A model folder without weights starts from random ones.

    Example: burnish pretrain --model start --data stories.jsonl --out runs/base --set max_length=128
    """
    return one("pretrain", out, settings, seed, allow_changed, model=model, data=data, evaluate_on=evaluate_on)


@command(app, shared=True)
def sft(
    model: ModelOption,
    data: DataOption,
    out: OutOption,
    evaluate_on: EvaluateOnOption = None,
    settings: SetOption = None,
    allow_changed: AllowOption = None,
    seed: int | None = None,
) -> dict[str, Any]:
    """Learn to give the answers that people wrote.

    Example: burnish sft --model runs/base/model --data demos.jsonl --out runs/sft --set learning_rate=2e-5
    """
    return one("sft", out, settings, seed, allow_changed, model=model, data=data, evaluate_on=evaluate_on)


@command(app, shared=True)
def reward(
    model: ModelOption,
    data: DataOption,
    out: OutOption,
    evaluate_on: EvaluateOnOption = None,
    settings: SetOption = None,
    allow_changed: AllowOption = None,
    seed: int | None = None,
) -> dict[str, Any]:
    """Learn a score from answers that people have put in order.

    Example: burnish reward --model runs/sft/model --data rankings.jsonl --out runs/reward
    """
    return one("reward", out, settings, seed, allow_changed, model=model, data=data, evaluate_on=evaluate_on)


@command(app, shared=True)
def dpo(
    model: ModelOption,
    data: DataOption,
    out: OutOption,
    reference: ReferenceOption = None,
    evaluate_on: EvaluateOnOption = None,
    settings: SetOption = None,
    allow_changed: AllowOption = None,
    seed: int | None = None,
) -> dict[str, Any]:
    """Learn from answers that people have put in order, without a reward model. See also loss.

    Example: burnish dpo --model runs/sft/model --data rankings.jsonl --out runs/dpo --set beta=0.05
    """
    return one(
        "dpo", out, settings, seed, allow_changed, model=model, data=data, evaluate_on=evaluate_on, reference=reference
    )


@command(app, shared=True)
def kto(
    model: ModelOption,
    data: DataOption,
    out: OutOption,
    reference: ReferenceOption = None,
    evaluate_on: EvaluateOnOption = None,
    settings: SetOption = None,
    allow_changed: AllowOption = None,
    seed: int | None = None,
) -> dict[str, Any]:
    """Learn from single answers, each found good or bad, with no answer beside it.

    Example: burnish kto --model runs/sft/model --data judgements.jsonl --out runs/kto --set beta=0.1
    """
    return one(
        "kto", out, settings, seed, allow_changed, model=model, data=data, evaluate_on=evaluate_on, reference=reference
    )


@command(app)
def ppo(
    model: ModelOption,
    prompts: PromptsOption,
    by: RewardByOption,
    out: OutOption,
    reference: ReferenceOption = None,
    evaluate_on: EvaluateOnOption = None,
    judge: JudgeOption = None,
    mix: MixOption = None,
    settings: SetOption = None,
    allow_changed: AllowOption = None,
    allow_code: CodeOption = False,
    insecure: InsecureOption = False,
    seed: int | None = None,
) -> dict[str, Any]:
    """Sample answers, score them, and climb the score without leaving the reference.

    Example: burnish ppo --model runs/sft/model --prompts prompts.jsonl --by runs/reward/model --out runs/ppo
    """
    inputs: dict[str, Any] = {"model": model, "prompts": prompts, "by": by, "reference": reference}
    inputs |= {"evaluate_on": evaluate_on, "judge": judge, "mix": mix}
    return one("ppo", out, settings, seed, allow_changed, allow_code, insecure, **inputs)


@command(app)
def grpo(
    model: ModelOption,
    prompts: PromptsOption,
    by: RewardByOption,
    out: OutOption,
    reference: ReferenceOption = None,
    evaluate_on: EvaluateOnOption = None,
    judge: JudgeOption = None,
    mix: MixOption = None,
    settings: SetOption = None,
    allow_changed: AllowOption = None,
    allow_code: CodeOption = False,
    insecure: InsecureOption = False,
    seed: int | None = None,
) -> dict[str, Any]:
    """Sample answers, and learn from which of a prompt's are better than its others. No critic; see also variant.

    Example: burnish grpo --model runs/sft/model --prompts prompts.jsonl --by runs/reward/model --out runs/grpo
    """
    inputs: dict[str, Any] = {"model": model, "prompts": prompts, "by": by, "reference": reference}
    inputs |= {"evaluate_on": evaluate_on, "judge": judge, "mix": mix}
    return one("grpo", out, settings, seed, allow_changed, allow_code, insecure, **inputs)


@command(app)
def rloo(
    model: ModelOption,
    prompts: PromptsOption,
    by: RewardByOption,
    out: OutOption,
    reference: ReferenceOption = None,
    evaluate_on: EvaluateOnOption = None,
    judge: JudgeOption = None,
    mix: MixOption = None,
    settings: SetOption = None,
    allow_changed: AllowOption = None,
    allow_code: CodeOption = False,
    insecure: InsecureOption = False,
    seed: int | None = None,
) -> dict[str, Any]:
    """Climb the score of sampled answers by its plain gradient, each beside the others to its prompt. No critic.

    Example: burnish rloo --model runs/sft/model --prompts prompts.jsonl --by runs/reward/model --out runs/rloo
    """
    inputs: dict[str, Any] = {"model": model, "prompts": prompts, "by": by, "reference": reference}
    inputs |= {"evaluate_on": evaluate_on, "judge": judge, "mix": mix}
    return one("rloo", out, settings, seed, allow_changed, allow_code, insecure, **inputs)


@command(app)
def reinforce(
    model: ModelOption,
    prompts: PromptsOption,
    by: RewardByOption,
    out: OutOption,
    reference: ReferenceOption = None,
    evaluate_on: EvaluateOnOption = None,
    judge: JudgeOption = None,
    mix: MixOption = None,
    settings: SetOption = None,
    allow_changed: AllowOption = None,
    allow_code: CodeOption = False,
    insecure: InsecureOption = False,
    seed: int | None = None,
) -> dict[str, Any]:
    """REINFORCE++: sample answers, and learn from what followed each token, beside the whole batch. No critic.

    Example: burnish reinforce --model runs/sft/model --prompts p.jsonl --by runs/reward/model --out runs/reinforce
    """
    inputs: dict[str, Any] = {"model": model, "prompts": prompts, "by": by, "reference": reference}
    inputs |= {"evaluate_on": evaluate_on, "judge": judge, "mix": mix}
    return one("reinforce", out, settings, seed, allow_changed, allow_code, insecure, **inputs)


@command(app)
def online_dpo(
    model: ModelOption,
    prompts: PromptsOption,
    by: RewardByOption,
    out: OutOption,
    reference: ReferenceOption = None,
    evaluate_on: EvaluateOnOption = None,
    judge: JudgeOption = None,
    mix: MixOption = None,
    settings: SetOption = None,
    allow_changed: AllowOption = None,
    allow_code: CodeOption = False,
    insecure: InsecureOption = False,
    seed: int | None = None,
) -> dict[str, Any]:
    """Sample answers, have them put in order, and learn from each pair as DPO does. No critic.

    Example: burnish online-dpo --model runs/sft/model --prompts p.jsonl --by runs/reward/model --out runs/online
    """
    inputs: dict[str, Any] = {"model": model, "prompts": prompts, "by": by, "reference": reference}
    inputs |= {"evaluate_on": evaluate_on, "judge": judge, "mix": mix}
    return one("online_dpo", out, settings, seed, allow_changed, allow_code, insecure, **inputs)


@command(app)
def reject(
    model: ModelOption,
    prompts: PromptsOption,
    by: ByOption,
    out: OutOption,
    evaluate_on: EvaluateOnOption = None,
    judge: JudgeOption = None,
    settings: SetOption = None,
    allow_changed: AllowOption = None,
    allow_code: CodeOption = False,
    insecure: InsecureOption = False,
    seed: int | None = None,
) -> dict[str, Any]:
    """Sample answers, keep the best of each prompt, and learn to give those; again in rounds. See also learn: dpo.

    Example: burnish reject --model runs/sft/model --prompts prompts.jsonl --by runs/reward/model --out runs/best
    """
    inputs: dict[str, Any] = {"model": model, "prompts": prompts, "by": by, "evaluate_on": evaluate_on, "judge": judge}
    return one("reject", out, settings, seed, allow_changed, allow_code, insecure, **inputs)
