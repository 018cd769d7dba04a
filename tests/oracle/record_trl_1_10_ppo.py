"""Record what TRL 1.10's PPO trainer makes of one iteration, for test_ppo_trainer.py.

    $(sh benchmarks/trl_1_10.sh) tests/oracle/record_trl_1_10_ppo.py

The trainer itself runs, in float64, on a two-layer model of twelve tokens: it samples eight answers, scores them and
learns from them. Where its `train` calls `masked_whiten` and `masked_mean`, the variables that it has there are copied
into trl_1_10_ppo.safetensors; nothing is computed here.

    rollout/…   (8 answers, 8 tokens): what a whole iteration shares; whitened is its advantages in the end
    step_K/…    (4 answers, 8 tokens): minibatch K; rows says which answers
"""

import sys
import tempfile
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from datasets import Dataset
from safetensors.torch import save_file
from tokenizers import Tokenizer, models, pre_tokenizers
from torch import Tensor
from transformers import LlamaConfig, LlamaForCausalLM, LlamaForSequenceClassification, PreTrainedTokenizerFast
from trl.experimental.ppo import PPOConfig, PPOTrainer, ppo_trainer

OUT = Path(__file__).with_name("trl_1_10_ppo.safetensors")
TOKENS = [*"abcdefghij", "<end>", "<pad>"]
END, PAD = 10, 11
SETTINGS = {"kl_coef": 0.3, "gamma": 0.95, "lam": 0.9, "cliprange": 0.2, "cliprange_value": 0.2, "vf_coef": 0.1}
ROLLOUT = ("logprobs", "ref_logprobs", "values", "scores", "rewards", "advantages", "returns")
MASKS = ("padding_mask", "padding_mask_p1")
STEP = ("new_logprobs", "vpred", "pg_loss_max", "vf_loss_max")

recorded: dict[str, Tensor] = {}


def whiten(values: Tensor, mask: Tensor, shift_mean: bool = True) -> Tensor:
    whitened: Tensor = own_whiten(values, mask, shift_mean)
    there = sys._getframe(1).f_locals
    recorded.update({f"rollout/{name}": there[name].clone() for name in (*ROLLOUT, *MASKS)})
    recorded["rollout/whitened"] = whitened.masked_fill(~mask, 0)
    return whitened


def mean(values: Tensor, mask: Tensor, axis: Any = None) -> Tensor:
    result: Tensor = own_mean(values, mask, axis)
    there = sys._getframe(1).f_locals
    step = sum(name.endswith("/pg_loss") for name in recorded)
    if values is there.get("vf_loss_max"):
        recorded[f"step_{step}/vf_mean"] = result.detach().clone()
    if values is there.get("pg_loss_max"):
        recorded.update({f"step_{step}/{name}": there[name].detach().clone() for name in STEP})
        recorded[f"step_{step}/rows"] = torch.tensor(there["micro_batch_inds"])
        recorded[f"step_{step}/pg_loss"] = result.detach().clone()
    return result


own_whiten, own_mean = ppo_trainer.masked_whiten, ppo_trainer.masked_mean
ppo_trainer.masked_whiten, ppo_trainer.masked_mean = whiten, mean


class Noted(PPOTrainer):
    """Keeps the loss that each minibatch is learned from."""

    def train(self) -> None:
        backward = self.accelerator.backward

        def noted(loss: Tensor, **settings: Any) -> None:
            recorded[f"step_{sum(name.endswith('/loss') for name in recorded)}/loss"] = loss.detach().clone()
            backward(loss, **settings)

        self.accelerator.backward = noted
        super().train()


def tokenizer() -> PreTrainedTokenizerFast:
    inner = Tokenizer(models.WordLevel({token: i for i, token in enumerate(TOKENS)}, unk_token="a"))
    inner.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    return PreTrainedTokenizerFast(tokenizer_object=inner, eos_token="<end>", pad_token="<pad>", padding_side="left")


def shape(**more: Any) -> LlamaConfig:
    return LlamaConfig(
        vocab_size=len(TOKENS),
        hidden_size=16,
        intermediate_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        initializer_range=0.3,
        bos_token_id=None,
        eos_token_id=END,
        pad_token_id=PAD,
        **more,
    )


def policy(noise: float) -> LlamaForCausalLM:
    torch.manual_seed(0)
    model = LlamaForCausalLM(shape()).double()
    # TRL takes each pad token that is sampled for padding: here none can be
    model.lm_head = torch.nn.Linear(16, len(TOKENS), dtype=torch.float64)
    model.lm_head.bias.data.zero_()[PAD] = -1e9
    for parameter in model.model.parameters():
        parameter.data += noise * torch.randn_like(parameter)
    return model


def scorer(seed: int) -> LlamaForSequenceClassification:
    torch.manual_seed(seed)
    return LlamaForSequenceClassification(shape(num_labels=1)).double()


def main() -> None:
    prompts = [[1 + i % 9, *range(i % 3), 4] for i in range(8)]
    rows = Dataset.from_list([{"input_ids": prompt} for prompt in prompts])
    with tempfile.TemporaryDirectory() as folder:
        Noted(
            PPOConfig(
                output_dir=folder,
                total_episodes=8,
                per_device_train_batch_size=8,
                num_mini_batches=2,
                num_ppo_epochs=2,
                learning_rate=1e-2,  # far enough for both clips to act
                response_length=8,
                stop_token="eos",
                temperature=1.0,
                seed=3,
                bf16=False,
                gradient_checkpointing=False,
                use_cpu=True,
                num_sample_generations=0,
                save_strategy="no",
                report_to="none",
                **SETTINGS,
            ),
            processing_class=tokenizer(),
            model=policy(0.0),
            ref_model=policy(0.1),
            reward_model=scorer(1),
            value_model=scorer(2),
            train_dataset=rows,
            eval_dataset=rows,
        ).train()
    versions = {name: version(name) for name in ("trl", "torch", "transformers")}
    save_file(recorded, OUT, {name: str(value) for name, value in (versions | SETTINGS).items()})
    print(f"{OUT}: {len(recorded)} tensors, {OUT.stat().st_size} bytes")
    print("tokens an answer:", (~recorded["rollout/padding_mask"]).sum(1).tolist())


if __name__ == "__main__":
    main()
