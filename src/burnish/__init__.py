"""burnish: classical post-training of language models, with people in the loop.

Public names are found on first use, so that `import burnish` and `burnish --help` do not wait for torch.

    model = burnish.load("runs/sft/model")
    rankings = burnish.read("rankings.jsonl", kind="ranking")
    burnish.dpo(model, rankings, burnish.DPOConfig(beta=0.05), out=Path("runs/dpo"))
"""

import importlib
from typing import Any

_PUBLIC = {
    "load": "burnish.models.load:load_policy",
    "load_policy": "burnish.models.load:load_policy",
    "load_scorer": "burnish.models.load:load_scorer",
    "Policy": "burnish.models.model:Policy",
    "Scorer": "burnish.models.model:Scorer",
    "read": "burnish.data.read:read",
    "pretrain": "burnish.methods.pretrain:pretrain",
    "PretrainConfig": "burnish.methods.pretrain:PretrainConfig",
    "sft": "burnish.methods.sft:sft",
    "SFTConfig": "burnish.methods.sft:SFTConfig",
    "reward": "burnish.methods.reward:reward",
    "RewardConfig": "burnish.methods.reward:RewardConfig",
    "dpo": "burnish.methods.dpo:dpo",
    "DPOConfig": "burnish.methods.dpo_settings:DPOConfig",
    "kto": "burnish.methods.kto:kto",
    "KTOConfig": "burnish.methods.kto:KTOConfig",
    "ppo": "burnish.methods.ppo:ppo",
    "PPOConfig": "burnish.methods.ppo:PPOConfig",
    "grpo": "burnish.methods.grpo:grpo",
    "GRPOConfig": "burnish.methods.grpo:GRPOConfig",
    "rloo": "burnish.methods.rloo:rloo",
    "RLOOConfig": "burnish.methods.rloo:RLOOConfig",
    "reinforce": "burnish.methods.reinforce:reinforce",
    "ReinforceConfig": "burnish.methods.reinforce:ReinforceConfig",
    "online_dpo": "burnish.methods.online_dpo:online_dpo",
    "OnlineDPOConfig": "burnish.methods.online_dpo:OnlineDPOConfig",
    "reject": "burnish.methods.reject:reject",
    "RejectConfig": "burnish.methods.reject_settings:RejectConfig",
    "generate": "burnish.methods.generate:generate",
    "GenerateConfig": "burnish.methods.generate:GenerateConfig",
    "Chat": "burnish.methods.chat:Chat",
    "ChatConfig": "burnish.methods.chat:ChatConfig",
    "rank": "burnish.methods.rank:rank",
    "RankConfig": "burnish.methods.rank:RankConfig",
    "Store": "burnish.feedback.store:Store",
    "score": "burnish.methods.score:score",
    "ScoreConfig": "burnish.methods.score:ScoreConfig",
    "evaluate": "burnish.methods.evaluate:evaluate",
    "EvaluateConfig": "burnish.methods.evaluate:EvaluateConfig",
    "export": "burnish.recipes.export:export",
    "load_recipe": "burnish.recipes.load:load",
    "run": "burnish.recipes.run:run",
    "plan": "burnish.recipes.plan:plan",
    "status": "burnish.recipes.status:status",
    "demo": "burnish.recipes.demo:demo",
    "doctor": "burnish.recipes.doctor:doctor",
}
_MODULES = ("objectives", "errors", "types")

__all__ = [*_PUBLIC, *_MODULES]  # names that __getattr__ finds


def __getattr__(name: str) -> Any:
    if name in _PUBLIC:
        module, _, attribute = _PUBLIC[name].partition(":")
        return getattr(importlib.import_module(module), attribute)
    if name in _MODULES:
        return importlib.import_module(f"burnish.{name}")
    raise AttributeError(f"module 'burnish' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
