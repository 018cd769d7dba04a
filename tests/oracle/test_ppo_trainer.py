"""TRL 1.10's PPO trainer as oracle, from what record_trl_1_10_ppo.py saw it compute: no TRL has PPO today.

Rows of eight places; an answer that ended has its end token inside, and one place after it where TRL puts the score and
reads the critic once more. Where TRL does another thing than burnish does, a test says what, and holds that it is all.
"""

from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from torch import Tensor

from burnish.objectives import advantages, kl
from burnish.objectives import policy as surrogate

RECORD = Path(__file__).with_name("trl_1_10_ppo.safetensors")
with safe_open(RECORD, framework="pt") as file:
    RECORDED: dict[str, Tensor] = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  no dict
    SETTINGS = file.metadata()
STEPS = sorted({name.partition("/")[0] for name in RECORDED} - {"rollout"})
BETA, GAMMA, LAM = (float(SETTINGS[name]) for name in ("kl_coef", "gamma", "lam"))
CLIP, CLIP_VALUE, VALUE_WEIGHT = (float(SETTINGS[name]) for name in ("cliprange", "cliprange_value", "vf_coef"))


def of_rollout(name: str) -> Tensor:
    return RECORDED[f"rollout/{name}"]


TOKEN_NT = ~of_rollout("padding_mask")
"""Places of tokens."""
PLACE_NT = ~of_rollout("padding_mask_p1")
"""These, and the place after an answer that ended."""
LENGTH_N = TOKEN_NT.sum(1)
ENDED_N = PLACE_NT.sum(1) > LENGTH_N


def near(a: Tensor, b: Tensor) -> None:
    """‖a - b‖ / ‖b‖ ≤ 1e-6. TRL counts tokens in float32, and 1e-8 of its whitened advantages is that."""
    assert a.shape == b.shape
    assert b.norm() > 0
    assert ((a - b).norm() / b.norm()).item() <= 1e-6


def rewards(score_N: Tensor) -> Tensor:
    """Ours, (T,) of all answers end to end."""
    old_T, reference_T = (of_rollout(name)[TOKEN_NT] for name in ("logprobs", "ref_logprobs"))
    return kl.rewards(score_N, old_T, reference_T, LENGTH_N, beta=BETA)


def test_the_record_has_answers_that_ended_and_answers_that_did_not_and_both_clips_at_work():
    assert 0 < ENDED_N.sum() < len(ENDED_N)
    assert LENGTH_N.min() < LENGTH_N.max() == TOKEN_NT.shape[1]
    assert len(STEPS) == 4
    last = STEPS[-1]
    mask_RT = TOKEN_NT[RECORDED[f"{last}/rows"]]
    new_T, old_T = RECORDED[f"{last}/new_logprobs"][mask_RT], of_rollout("logprobs")[RECORDED[f"{last}/rows"]][mask_RT]
    assert surrogate.outside(new_T, old_T, clip=CLIP).sum() > 0
    moved_T = RECORDED[f"{last}/vpred"] - of_rollout("values")[RECORDED[f"{last}/rows"]]
    assert (moved_T[mask_RT].abs() > CLIP_VALUE).any()


def test_the_kl_in_the_reward_and_the_score_are_trl_s_which_puts_the_score_one_place_after_an_end():
    theirs_NT = of_rollout("rewards").clone()
    after_N = LENGTH_N.clamp(max=TOKEN_NT.shape[1] - 1)
    row_N = torch.arange(len(LENGTH_N))
    moved_N = torch.where(ENDED_N, theirs_NT[row_N, after_N], 0.0)
    theirs_NT[row_N, LENGTH_N - 1] += moved_N
    near(rewards(of_rollout("scores")), theirs_NT[TOKEN_NT])


def test_advantages_are_trl_s_at_its_own_places():
    advantage_T, target_T = advantages.gae(
        of_rollout("rewards")[PLACE_NT], of_rollout("values")[PLACE_NT], PLACE_NT.sum(1), gamma=GAMMA, lam=LAM
    )
    near(advantage_T, of_rollout("advantages")[PLACE_NT])
    near(target_T, of_rollout("returns")[PLACE_NT])


def test_a_score_one_place_later_is_one_at_the_last_token_of_which_the_critic_has_said_a_part():
    """γλ·score + γ(1 - λ)·V after the end, in place of the score: nothing else of TRL's advantages differs."""
    row_N, after_N = torch.arange(len(LENGTH_N)), LENGTH_N.clamp(max=TOKEN_NT.shape[1] - 1)
    score_N, value_N = of_rollout("scores"), of_rollout("values")[row_N, after_N]
    seen_N = torch.where(ENDED_N, GAMMA * LAM * score_N + GAMMA * (1 - LAM) * value_N, score_N)
    advantage_T, _ = advantages.gae(rewards(seen_N), of_rollout("values")[TOKEN_NT], LENGTH_N, gamma=GAMMA, lam=LAM)
    near(advantage_T, of_rollout("advantages")[TOKEN_NT])


def test_whitening_is_trl_s_but_for_its_deviation_of_a_sample():
    raw_T, theirs_T = of_rollout("advantages")[TOKEN_NT], of_rollout("whitened")[TOKEN_NT]
    near(advantages.whiten(raw_T, raw_T.mean(), raw_T.std(correction=1)), theirs_T)
    ours_T, count = advantages.whiten(raw_T), len(raw_T)
    away = (ours_T.norm() / theirs_T.norm()).item() ** 2
    assert away == pytest.approx(count / (count - 1), rel=1e-6)  # 1e-8 is added to either variance


@dataclass(frozen=True)
class Minibatch:
    """What both sides say of a minibatch's places, R answers each."""

    step: str

    def of_step(self, name: str) -> Tensor:
        return RECORDED[f"{self.step}/{name}"]

    def of_rollout(self, name: str) -> Tensor:
        return of_rollout(name)[self.of_step("rows")]

    def policy_loss(self, mask_RT: Tensor) -> Tensor:
        new_T, old_T = self.of_step("new_logprobs")[mask_RT], self.of_rollout("logprobs")[mask_RT]
        return surrogate.clipped(new_T, old_T, self.of_rollout("whitened")[mask_RT], clip=CLIP)

    def value_loss(self, mask_RT: Tensor) -> Tensor:
        values = (self.of_step("vpred"), self.of_rollout("values"), self.of_rollout("returns"))
        return surrogate.value(*(value_RT[mask_RT] for value_RT in values), clip=CLIP_VALUE)


@pytest.mark.parametrize("step", STEPS)
def test_the_policy_loss_is_trl_s_token_by_token_and_in_the_mean(step: str):
    minibatch = Minibatch(step)
    token_RT = TOKEN_NT[minibatch.of_step("rows")]
    loss_T = minibatch.policy_loss(token_RT)
    near(loss_T, minibatch.of_step("pg_loss_max")[token_RT])
    near(loss_T.sum() / len(loss_T), minibatch.of_step("pg_loss"))


@pytest.mark.parametrize("step", STEPS)
def test_the_value_loss_is_trl_s_which_counts_the_place_after_an_end_too(step: str):
    minibatch = Minibatch(step)
    place_RT = PLACE_NT[minibatch.of_step("rows")]
    loss_T = minibatch.value_loss(place_RT)
    near(loss_T, 0.5 * minibatch.of_step("vf_loss_max")[place_RT])
    near(loss_T.sum() / len(loss_T), 0.5 * minibatch.of_step("vf_mean"))


@pytest.mark.parametrize("step", STEPS)
def test_trl_learns_from_the_mean_of_one_and_vf_coef_times_the_mean_of_the_other(step: str):
    minibatch = Minibatch(step)
    rows = minibatch.of_step("rows")
    policy, value = minibatch.policy_loss(TOKEN_NT[rows]), minibatch.value_loss(PLACE_NT[rows])
    near(policy.mean() + VALUE_WEIGHT * value.mean(), minibatch.of_step("loss"))
