"""Losses that teach a policy which of two answers is preferred, with no reward model.

Shapes: P pairs. A gain is log π(answer) - log π_reference(answer), summed over the answer's learned tokens; β times the
gain is, up to a constant of the prompt, the reward that the policy stands for (Rafailov et al. 2023). Every loss
of the family takes `chosen_P` and `rejected_P`, the gains of the two answers of each pair; those without a reference
(CPO, SimPO, ORPO) take log-probabilities in their place.
Each gives one value a pair, never a mean: the training loop knows the global count and divides once.

What gains may be made of besides (another divergence, a mean a token) is in gains.py, losses of single answers that
were found good or bad in judgement.py, whole rankings in ranking.py: `plackett_luce` of β times the gains.
"""

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid


def dpo(
    chosen_P: Tensor,
    rejected_P: Tensor,
    *,
    beta: float,
    smoothing: float | Tensor = 0.0,
    margin: float | Tensor = 0.0,
) -> Tensor:
    """loss = -log σ(β · (gain_chosen - gain_rejected) - margin)

    Rafailov et al. 2023, eq. 7. With `smoothing` ε, the share of pairs taken to be the wrong way round, it is the
    conservative form (Mitchell 2023, A note on DPO with noisy preferences, eq. 3): (1 - ε) · loss + ε · loss of the
    reversed pair. Its minimum lies where β · (gain_chosen - gain_rejected) = log((1 - ε)/ε) and no longer at infinity.
    (Taking the noise out again is `robust`.) A tensor gives each pair a share of its
    own, (P,): with ε = σ(r_rejected - r_chosen), what Bradley and Terry would say of two rewards, the minimum lies at
    β · (gain_chosen - gain_rejected) = r_chosen - r_rejected, which is where π = π_reference · exp(r/β)/Z.
    `margin` is what the pair must be ahead by before it counts as right, one number or one a pair (Amini et al. 2024).
    """
    ahead_P = _ahead(chosen_P, rejected_P, beta, margin)
    loss_P: Tensor = -logsigmoid(ahead_P)  # log(sigmoid(x)) would be -inf from x = -89 on
    if isinstance(smoothing, Tensor) or smoothing:
        loss_P = (1 - smoothing) * loss_P - smoothing * logsigmoid(-ahead_P)
    return loss_P


def ipo(chosen_P: Tensor, rejected_P: Tensor, *, beta: float) -> Tensor:
    """loss = (gain_chosen - gain_rejected - 1/(2β))²

    Azar et al. 2023, eq. 17, their τ being β. Its minimum is a gap of 1/(2β) nats, however sure people are of the pair:
    on labels that are always the same it does not run to infinity, as DPO's does. Where answers are preferred with
    probability p the gap is (2p - 1)/(2β). Gains are of whole answers as in the paper; TRL divides each by its answer's
    tokens first, and a β of 0.1 then asks for 5 nats a token, so that the two need other β.
    """
    return (_gap(chosen_P, rejected_P) - 1 / (2 * beta)) ** 2


def hinge(chosen_P: Tensor, rejected_P: Tensor, *, beta: float, margin: float | Tensor = 0.0) -> Tensor:
    """loss = max(0, 1 - (β · (gain_chosen - gain_rejected) - margin))

    Zhao et al. 2023, SLiC, with gains in place of log-probabilities (Liu et al. 2023, RSO, `hinge-norm`). A pair that
    is 1 ahead teaches nothing any more; one that is behind pulls with the same force however far behind it is.
    """
    return (1 - _ahead(chosen_P, rejected_P, beta, margin)).relu()


def robust(
    chosen_P: Tensor, rejected_P: Tensor, *, beta: float, smoothing: float, margin: float | Tensor = 0.0
) -> Tensor:
    """loss = ((1 - ε) · dpo - ε · dpo of the reversed pair) / (1 - 2ε)

    Chowdhury et al. 2024: its mean over labels of which a share ε was turned around is DPO's on clean ones.
    `smoothing` is that ε, below ½. It has no lower bound: from log((1 - ε)/ε) on it falls by ε/(1 - 2ε) for each nat
    that a pair gets ahead, so that the number itself tells nothing.
    """
    if not 0 <= smoothing < 0.5:
        raise ValueError(f"smoothing is the share of labels turned around, from 0 to below ½; found {smoothing}")
    ahead_P = _ahead(chosen_P, rejected_P, beta, margin)
    return ((smoothing - 1) * logsigmoid(ahead_P) + smoothing * logsigmoid(-ahead_P)) / (1 - 2 * smoothing)


def exo(
    chosen_P: Tensor, rejected_P: Tensor, *, beta: float, smoothing: float = 1e-3, margin: float | Tensor = 0.0
) -> Tensor:
    """loss = KL(q ‖ p), q = (σ(z), σ(-z)), p = (1 - ε, ε), z = β · (gain_chosen - gain_rejected) - margin

    Ji et al. 2024, eq. 16 with two answers: the reverse KL, where DPO's is the forward one. Its minimum, 0, is at
    z = log((1 - ε)/ε). A pair that is far on the wrong side has next to no gradient: the loss has settled for the other
    answer. Raises ValueError for ε outside (0, ½): with 0 every policy would have loss inf.
    """
    if not 0 < smoothing < 0.5:
        raise ValueError(f"smoothing lies between 0 and ½, without them; found {smoothing}")
    ahead_P = _ahead(chosen_P, rejected_P, beta, margin)
    log_right, log_wrong = torch.tensor([1 - smoothing, smoothing], dtype=torch.float64).log().tolist()
    right_P = ahead_P.sigmoid() * (logsigmoid(ahead_P) - log_right)
    loss_P: Tensor = right_P + (-ahead_P).sigmoid() * (logsigmoid(-ahead_P) - log_wrong)
    return loss_P


def discopop(
    chosen_P: Tensor, rejected_P: Tensor, *, beta: float, temperature: float = 0.05, margin: float | Tensor = 0.0
) -> Tensor:
    """loss = (1 - m) · -log σ(z) + m · exp(-z), m = σ(z/τ), z = β · (gain_chosen - gain_rejected) - margin

    Lu et al. 2024, eq. 5, found by a language model; `temperature` is their τ. DPO's loss for pairs on the wrong side
    and the exponential one for the others. Between, from z = -0.12 to 0.07 at τ = 0.05, it rises: a pair at its
    reference is pulled the wrong way, to z = -0.12, where it stays unless other pairs carry it over. Raises ValueError
    for τ of 1 or more, where the second term would be unbounded for a pair on the wrong side.
    """
    if not 0 < temperature < 1:
        raise ValueError(f"temperature lies between 0 and 1; found {temperature}")
    ahead_P = _ahead(chosen_P, rejected_P, beta, margin)
    mixed_P = ahead_P / temperature
    # one exponent: exp(-z) alone is inf where σ(z/τ) is 0
    exponential_P = (logsigmoid(mixed_P) - ahead_P).exp()
    return exponential_P - (-mixed_P).sigmoid() * logsigmoid(ahead_P)


# ---- each answer beside its reference, not beside the other


def nca(chosen_P: Tensor, rejected_P: Tensor, *, beta: float) -> Tensor:
    """loss = -log σ(r_chosen) - ½ log σ(-r_chosen) - ½ log σ(-r_rejected), r = β · gain

    Chen et al. 2024, Noise contrastive alignment, with two answers of which the better has all the weight. The middle
    term pulls the chosen answer back to its reference: alone it would rest at r_chosen = log 2, so its log-probability
    does not fall, and does not run away either.
    """
    _same_pairs(chosen_P, rejected_P)
    chosen_P, rejected_P = beta * chosen_P, beta * rejected_P
    loss_P: Tensor = -logsigmoid(chosen_P) - 0.5 * logsigmoid(-chosen_P) - 0.5 * logsigmoid(-rejected_P)
    return loss_P


def bco(chosen_P: Tensor, rejected_P: Tensor, *, beta: float, baseline: float | Tensor = 0.0) -> Tensor:
    """loss = -log σ(β · (gain_chosen - b)) - log σ(β · (b - gain_rejected))

    Jung et al. 2024: a classifier of good and bad answers whose logit is the reward less their shift δ = β · b.
    `baseline` b is half the mean gain of chosen answers and half that of rejected ones, without gradient, taken over
    the whole batch; with it the loss is a closer bound of DPO's. TRL's `bco_pair` has none.
    """
    _same_pairs(chosen_P, rejected_P)
    loss_P: Tensor = -logsigmoid(beta * (chosen_P - baseline)) - logsigmoid(beta * (baseline - rejected_P))
    return loss_P


def sppo(chosen_P: Tensor, rejected_P: Tensor, *, beta: float) -> Tensor:
    """loss = (gain_chosen - 1/(2β))² + (gain_rejected + 1/(2β))²

    Wu et al. 2024, eq. 4.7 with the chosen answer winning for sure; their η is 1/β, and 1000.
    """
    _same_pairs(chosen_P, rejected_P)
    return (chosen_P - 0.5 / beta) ** 2 + (rejected_P + 0.5 / beta) ** 2


def apo_zero(chosen_P: Tensor, rejected_P: Tensor, *, beta: float) -> Tensor:
    """loss = 1 - σ(r_chosen) + σ(r_rejected), r = β · gain

    D'Oosterlinck et al. 2024, eq. 7: chosen answers up, rejected ones down, each with the most force where it is at its
    reference. For answers that are better than the model's own.
    """
    _same_pairs(chosen_P, rejected_P)
    return (-beta * chosen_P).sigmoid() + (beta * rejected_P).sigmoid()


def apo_down(chosen_P: Tensor, rejected_P: Tensor, *, beta: float) -> Tensor:
    """loss = σ(r_chosen) + 1 - σ(r_chosen - r_rejected), r = β · gain

    D'Oosterlinck et al. 2024, eq. 8: both go down, the rejected one further. For answers that are worse than the
    model's own.
    """
    gap_P = _gap(chosen_P, rejected_P)
    return (beta * chosen_P).sigmoid() + (-beta * gap_P).sigmoid()


# ---- without a reference


def cpo(chosen_P: Tensor, rejected_P: Tensor, *, beta: float, smoothing: float = 0.0) -> Tensor:
    """loss = -log σ(β · (log π(chosen) - log π(rejected)))

    Xu et al. 2024, eq. 3: DPO with a reference that gives every answer the same probability. Longer answers have
    smaller ones, so the loss favours the shorter of two. The paper adds -log π(chosen), which is not here.
    """
    return dpo(chosen_P, rejected_P, beta=beta, smoothing=smoothing)


def simpo(
    chosen_P: Tensor, rejected_P: Tensor, *, beta: float, smoothing: float = 0.0, margin: float | Tensor = 0.0
) -> Tensor:
    """loss = -log σ(β · (log π(chosen)/|chosen| - log π(rejected)/|rejected|) - γ)

    Meng et al. 2024, eq. 6. `chosen_P` and `rejected_P` are mean log-probabilities a token, `margin` is γ. TRL's
    `simpo_gamma` is the same γ.
    """
    return dpo(chosen_P, rejected_P, beta=beta, smoothing=smoothing, margin=margin)


def orpo(chosen_P: Tensor, rejected_P: Tensor, *, beta: float) -> Tensor:
    """loss = -β · log σ(log odds(chosen) - log odds(rejected)), odds = p/(1 - p), p = exp(mean log π a token)

    Hong et al. 2024, eq. 7, their λ being β. `chosen_P` and `rejected_P` are mean log-probabilities a token. The paper
    adds -log p(chosen), which is not here. Probabilities above 1 - 1e-6 are taken for that, for their odds are inf.
    """
    _same_pairs(chosen_P, rejected_P)
    loss_P: Tensor = -beta * logsigmoid(_log_odds(chosen_P) - _log_odds(rejected_P))
    return loss_P


# ---- mixed in


def sft(logprob_B: Tensor, length_B: Tensor | None = None) -> Tensor:
    """loss = -log π(answer), or with its length -log π(answer)/|answer|, of B answers that nobody put another above.

    Beside a preference loss it holds up what that lets fall: Pang et al. 2024 (a token, their α the weight), Xu et al.
    2024 (CPO, an answer), Hong et al. 2024 (ORPO, a token).
    """
    return -logprob_B if length_B is None else -logprob_B / length_B


def _log_odds(logprob_P: Tensor) -> Tensor:
    logprob_P = logprob_P.clamp(max=-1e-6)
    # log(1 - p), by whichever form loses no digits
    small_P = torch.log1p(-logprob_P.clamp(max=-0.5).exp())
    large_P = torch.log(-torch.expm1(logprob_P.clamp(min=-1.0)))
    return logprob_P - torch.where(logprob_P < -0.7, small_P, large_P)


def _ahead(chosen_P: Tensor, rejected_P: Tensor, beta: float, margin: float | Tensor) -> Tensor:
    """By how much a pair is beyond what it must keep."""
    ahead_P = beta * _gap(chosen_P, rejected_P)
    if isinstance(margin, Tensor) and margin.shape != ahead_P.shape:
        raise ValueError(f"one margin a pair: {tuple(margin.shape)}, {tuple(ahead_P.shape)}")
    return ahead_P - margin


def _gap(chosen_P: Tensor, rejected_P: Tensor) -> Tensor:
    _same_pairs(chosen_P, rejected_P)
    return chosen_P - rejected_P


def _same_pairs(chosen_P: Tensor, rejected_P: Tensor) -> None:
    if chosen_P.shape != rejected_P.shape or chosen_P.dim() != 1:
        raise ValueError(f"two gains a pair: {tuple(chosen_P.shape)}, {tuple(rejected_P.shape)}")
