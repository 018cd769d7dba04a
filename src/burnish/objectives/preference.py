"""Losses that teach a policy which of two answers is preferred, with no reward model.

Shapes: P pairs. A gain is log π(answer) - log π_reference(answer), summed over the answer's learned tokens; β times the
gain is, up to a constant of the prompt, the reward that the policy stands for (Rafailov et al. 2023). Every loss
of the family takes `chosen_P` and `rejected_P`, the gains of the two answers of each pair.
Each gives one value a pair, never a mean: the training loop knows the global count and divides once.
"""

from torch import Tensor
from torch.nn.functional import logsigmoid


def dpo(chosen_P: Tensor, rejected_P: Tensor, *, beta: float, smoothing: float | Tensor = 0.0) -> Tensor:
    """loss = -log σ(β · (gain_chosen - gain_rejected))

    Rafailov et al. 2023, eq. 7. With `smoothing` ε, the share of pairs taken to be the wrong way round, it is the
    conservative form (Mitchell 2023, A note on DPO with noisy preferences, eq. 3): (1 - ε) · loss + ε · loss of the
    reversed pair. Its minimum lies where β · (gain_chosen - gain_rejected) = log((1 - ε)/ε) and no longer at infinity.
    (Taking the noise out again, as Chowdhury et al. 2024 do, is another loss.) A tensor gives each pair a share of its
    own, (P,): with ε = σ(r_rejected - r_chosen), what Bradley and Terry would say of two rewards, the minimum lies at
    β · (gain_chosen - gain_rejected) = r_chosen - r_rejected, which is where π = π_reference · exp(r/β)/Z.
    """
    if chosen_P.shape != rejected_P.shape or chosen_P.dim() != 1:
        raise ValueError(f"two gains a pair: {tuple(chosen_P.shape)}, {tuple(rejected_P.shape)}")
    margin_P = beta * (chosen_P - rejected_P)
    loss_P: Tensor = -logsigmoid(margin_P)  # log(sigmoid(x)) would be -inf from x = -89 on
    if isinstance(smoothing, Tensor) or smoothing:
        loss_P = (1 - smoothing) * loss_P - smoothing * logsigmoid(-margin_P)
    return loss_P
