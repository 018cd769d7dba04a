import os
import signal
import threading
from pathlib import Path

import pytest
import torch
from fault.typed import lines
from tiny import byte_tokenizer
from transformers import GPT2Config, GPT2LMHeadModel

from burnish.batch.pack import TreeBatch
from burnish.errors import CheckpointError, ConfigError, Interrupted
from burnish.models.load import load_policy
from burnish.models.model import VALUE_HEAD, Policy
from burnish.training.config import MethodConfig
from burnish.training.loop import train_on
from burnish.training.order import Order
from burnish.training.update import Apart, Loss, Mixed, StepLoss, Update
from burnish.types import Branch, Tree


def rows(count: int = 24) -> list[Tree]:
    draw = torch.Generator().manual_seed(1)

    def tokens(low: int, high: int) -> tuple[int, ...]:
        size = int(torch.randint(low, high, (1,), generator=draw))
        return tuple(torch.randint(256, (size,), generator=draw).tolist())

    def branch(answer: int) -> Branch:
        drawn = tokens(2, 12)
        return Branch(drawn, (True,) * len(drawn), answer=answer)

    return [Tree(tokens(3, 20), (branch(0), branch(1)), group=i) for i in range(count)]


def cross_entropy(policy: Policy) -> Loss:
    def loss(batch: TreeBatch) -> StepLoss:
        loss_L = -policy.logprobs(batch)
        return StepLoss(loss_L.sum(), len(loss_L))

    return loss


def settings(**changes: object) -> MethodConfig:
    return MethodConfig(**({"learning_rate": 1e-3, "steps": 6, "batch_size": 4} | changes))


def run(model: Path, out: Path, config: MethodConfig) -> Policy:
    policy = load_policy(model)
    train_on(policy, rows(), cross_entropy(policy), config, out=out, identity={"rows": "these"})
    return policy


def weights(policy: Policy) -> list[torch.Tensor]:
    return [p.detach().clone() for p in policy.model.parameters()]


@pytest.mark.parametrize("budget", [10_000, 90, 1])
def test_a_step_does_not_depend_on_how_its_batch_was_cut(budget: int):
    """10,000 tokens are one micro-batch of 8 trees, 90 some four of unequal size, 1 one for every answer.

    GPT-2, because Llama's norms round to float32 whatever the weights are.
    """
    grads = []
    for tokens in (10_000, budget):
        torch.manual_seed(0)
        model = GPT2LMHeadModel(GPT2Config(vocab_size=264, n_embd=32, n_layer=2, n_head=4, n_positions=64)).double()
        policy = Policy(model.eval(), byte_tokenizer())
        update = Update(policy, settings(micro_batch_tokens=tokens, max_grad_norm=0))
        figures = update(rows(8), cross_entropy(policy), step=0, steps=1)
        grads.append((figures["loss"], torch.cat([p.grad.flatten() for p in policy.model.parameters()])))
    (loss, grad), (cut_loss, cut_grad) = grads
    assert abs(loss - cut_loss) / loss < 1e-10
    assert (grad - cut_grad).norm() / grad.norm() < 1e-10


@pytest.mark.parametrize("budget", [10_000, 90, 1])
def test_rows_that_are_mixed_in_add_their_weight_times_their_own_mean(budget: int):
    """Two trees weigh as much as six, and a token of theirs more: each side is a mean over its own tokens."""
    torch.manual_seed(0)
    model = GPT2LMHeadModel(GPT2Config(vocab_size=264, n_embd=32, n_layer=2, n_head=4, n_positions=64)).double()
    policy = Policy(model.eval(), byte_tokenizer())
    loss, own, others = cross_entropy(policy), rows(8)[:6], rows(8)[6:]
    start = policy.model.state_dict()

    def gradient(trees: list[Tree], mixed: Mixed | None = None) -> tuple[dict[str, float], torch.Tensor]:
        policy.model.load_state_dict(start)
        update = Update(policy, settings(micro_batch_tokens=budget, max_grad_norm=0, learning_rate=1e-30))
        figures = update(trees, loss, step=0, steps=1, mixed=mixed)
        return figures, torch.cat([p.grad.flatten() for p in policy.model.parameters()])

    (own_told, own_grad), (others_told, others_grad) = gradient(own), gradient(others)
    units = sum(len(branch.tokens) for tree in others for branch in tree.branches)
    told, grad = gradient(own, Mixed(others, loss, weight=2.5, units=units))
    expected = own_grad + 2.5 * others_grad
    assert (grad - expected).norm() / expected.norm() < 1e-10
    assert told["mix_loss"] == pytest.approx(others_told["loss"], rel=1e-10)
    assert told["loss"] == pytest.approx(own_told["loss"] + 2.5 * others_told["loss"], rel=1e-10)
    assert told["own_grad_norm"] == pytest.approx(own_told["grad_norm"], rel=1e-10)
    assert told["grad_norm"] == pytest.approx(expected.norm().item(), rel=1e-10)


def test_parameters_apart_are_clipped_and_stepped_by_themselves(tiny_model: Path):
    """Else a head's gradient, which is as long as the hidden states, would scale the trunk's away."""
    policy = load_policy(tiny_model)
    policy.add_value_head()

    def loss(batch: TreeBatch) -> StepLoss:
        said = policy.read(batch)
        return StepLoss((1000 * said.value_L - said.logprob_L).sum(), len(said.logprob_L))

    config = settings(max_grad_norm=0.01, schedule="constant", warmup=0)
    update = Update(policy, config, apart=Apart("head", frozenset({VALUE_HEAD}), learning_rate=0.5))
    before = {name: p.detach().clone() for name, p in update.parameters.items()}
    figures = update(rows(4), loss, step=0, steps=1)
    assert figures["head_grad_norm"] > 1000 * figures["grad_norm"] > 10
    head = update.parameters.pop(VALUE_HEAD)
    assert head.grad.norm().item() == pytest.approx(0.01, rel=1e-3)
    trunk = torch.nn.utils.get_total_norm([p.grad for p in update.parameters.values()])
    assert trunk.item() == pytest.approx(0.01, rel=1e-3)
    assert (head - before[VALUE_HEAD]).abs().max().item() == pytest.approx(0.5, rel=1e-3)  # Adam's first step
    moved = max((p - before[name]).abs().max().item() for name, p in update.parameters.items())
    assert moved == pytest.approx(1e-3, rel=1e-2)


def test_a_killed_run_goes_on_bit_by_bit(tiny_model: Path, tmp_path: Path):
    whole = run(tiny_model, tmp_path / "whole", settings(save_every=2))

    class Killed(BaseException):
        pass

    policy = load_policy(tiny_model)
    calls = []

    def dies_in_step_four(batch: TreeBatch) -> StepLoss:
        calls.append(1)
        if len(calls) == 4:
            raise Killed
        return cross_entropy(policy)(batch)

    with pytest.raises(Killed):
        train_on(
            policy, rows(), dies_in_step_four, settings(save_every=2), out=tmp_path / "cut", identity={"rows": "these"}
        )
    resumed = run(tiny_model, tmp_path / "cut", settings(save_every=2))
    assert lines(tmp_path / "cut") == lines(tmp_path / "whole")
    assert all(torch.equal(a, b) for a, b in zip(weights(resumed), weights(whole), strict=True))
    assert (tmp_path / "cut" / "metrics.discarded-0.jsonl").exists()  # step 3, written after the save of step 2


def test_a_run_that_is_done_is_not_run_again(tiny_model: Path, tmp_path: Path):
    run(tiny_model, tmp_path, settings())
    before = lines(tmp_path)
    run(tiny_model, tmp_path, settings())
    assert lines(tmp_path) == before


def test_another_identity_is_refused(tiny_model: Path, tmp_path: Path):
    run(tiny_model, tmp_path, settings())
    policy = load_policy(tiny_model)
    with pytest.raises(ConfigError, match="rows: these then, others now"):
        train_on(policy, rows(), cross_entropy(policy), settings(), out=tmp_path, identity={"rows": "others"})


@pytest.mark.parametrize("harm", ["cut", "flip", "lose the manifest"])
def test_a_broken_checkpoint_is_named_and_the_one_before_it_taken(
    tiny_model: Path, tmp_path: Path, harm: str, capsys: pytest.CaptureFixture[str]
):
    run(tiny_model, tmp_path, settings(save_every=2))
    expected = lines(tmp_path)
    newest = tmp_path / "checkpoints" / "step-000006"
    damage(newest, harm)
    run(tiny_model, tmp_path, settings(save_every=2))
    assert "step-000006" in capsys.readouterr().err
    assert lines(tmp_path) == expected
    assert list((tmp_path / "checkpoints").glob("broken-step-000006-*"))


def test_a_run_whose_checkpoints_are_all_broken_never_starts_again_silently(tiny_model: Path, tmp_path: Path):
    run(tiny_model, tmp_path, settings(save_every=3))
    for path in (tmp_path / "checkpoints").glob("step-*"):
        damage(path, "flip")
    for _ in range(2):  # the second time they have been put aside already
        with pytest.raises(CheckpointError, match="no whole checkpoint"):
            run(tiny_model, tmp_path, settings(save_every=3))


def damage(checkpoint: Path, harm: str) -> None:
    tensors = checkpoint / "model.safetensors"
    content = bytearray(tensors.read_bytes())
    if harm == "cut":
        tensors.write_bytes(content[:-100])
    elif harm == "flip":
        content[-1] ^= 1
        tensors.write_bytes(content)
    else:
        (checkpoint / "manifest.json").unlink()


def test_sigterm_saves_at_the_next_step_and_says_run_me_again(tiny_model: Path, tmp_path: Path):
    policy = load_policy(tiny_model)

    def asked(batch: TreeBatch) -> StepLoss:
        if threading.current_thread() is threading.main_thread():
            os.kill(os.getpid(), signal.SIGTERM)
        return cross_entropy(policy)(batch)

    with pytest.raises(Interrupted, match="after step 1 of 6") as stopped:
        train_on(policy, rows(), asked, settings(), out=tmp_path / "cut", identity={"rows": "these"})
    assert stopped.value.exit_code == 75
    run(tiny_model, tmp_path / "cut", settings())
    run(tiny_model, tmp_path / "whole", settings())
    assert lines(tmp_path / "cut") == lines(tmp_path / "whole")


@pytest.mark.parametrize("step", [2, 6])
def test_a_signal_that_comes_while_a_step_is_saved_stops_after_it(step: int, tiny_model: Path, tmp_path: Path):
    """Also after the last one: what a recipe would begin next is not what was wished."""

    class Interrupting:
        def tensors(self) -> dict[str, torch.Tensor]:
            os.kill(os.getpid(), signal.SIGINT)
            return {}

        def restore(self, _: object) -> None:
            pass

        def after(self, _: int) -> None:
            pass

    policy = load_policy(tiny_model)
    with pytest.raises(Interrupted, match=f"after step {step} of 6"):
        train_on(
            policy,
            rows(),
            cross_entropy(policy),
            settings(save_every=step),
            out=tmp_path,
            identity={},
            beside={"other": Interrupting()},
        )
    assert (tmp_path / f"checkpoints/step-00000{step}").is_dir()


def test_every_row_is_seen_once_an_epoch_in_an_order_of_its_own():
    plan = Order.of(10, settings(steps=None, epochs=3, batch_size=4, seed=5))
    seen = [i for step in range(plan.steps) for i in plan.at(step)]
    epochs = [seen[0:10], seen[10:20], seen[20:30]]
    assert all(sorted(epoch) == list(range(10)) for epoch in epochs)
    assert epochs[0] != epochs[1] != epochs[2]


def test_without_shuffling_rows_come_as_they_stand():
    plan = Order.of(5, settings(steps=3, batch_size=2, shuffle=False))
    assert [plan.at(step) for step in range(3)] == [[0, 1], [2, 3], [4, 0]]
