"""Generate writes what was sampled, and a killed run ends with the same bytes."""

import json
from collections.abc import Sequence
from pathlib import Path

import pytest
from methods.engines import Killed, KilledError
from methods.written import rows_of

from burnish.batch.trees import prompt_trees
from burnish.data.read import read
from burnish.data.templates import resolve
from burnish.errors import ConfigError, NotOurs
from burnish.methods.generate import GenerateConfig, generate
from burnish.models.load import load_policy
from burnish.models.model import Policy
from burnish.rollout.gap import sampler_gap, training_logprobs
from burnish.rollout.local import LocalEngine
from burnish.rollout.settings import Sampling
from burnish.training.identity import allowing
from burnish.types import Group, Rollout

PROMPTS = [Group(f"prompt number {i}", id=f"p{i}", extra={"topic": "numbers"}) for i in range(7)]
CONFIG = GenerateConfig(samples=3, max_new_tokens=6, chunk=2, seed=5)


@pytest.fixture(scope="module")
def policy(tiny_model: Path) -> Policy:
    return load_policy(tiny_model)


class Writes:
    """An engine whose every answer is these tokens and the end."""

    weights_version = "fixed"

    def __init__(self, *tokens: int) -> None:
        self.tokens = (*tokens, 256)

    def sample(
        self, prompts: Sequence[Sequence[int]], n: int, settings: Sampling, *, end_tokens: Sequence[int], seed: int
    ) -> list[Rollout]:
        logprobs = (-1.0,) * len(self.tokens)
        return [Rollout(i, k, self.tokens, logprobs, True, seed) for i in range(len(prompts)) for k in range(n)]


def test_a_row_holds_a_prompts_answers_with_all_that_was_sampled(policy: Policy, tmp_path: Path):
    figures = generate(policy, PROMPTS, CONFIG, out=tmp_path)
    rows = rows_of(tmp_path)
    assert [row["prompt"] for row in rows] == [group.prompt for group in PROMPTS]
    assert [row["id"] for row in rows] == [group.id for group in PROMPTS]
    for row in rows:
        assert row["model"] == LocalEngine(policy).weights_version
        assert (row["seed"], row["topic"]) == (5, "numbers")
        assert len(row["answers"]) == len(row["tokens"]) == len(row["logprobs"]) == len(row["finished"]) == 3
    lengths = [len(tokens) for row in rows for tokens in row["tokens"]]
    assert figures["answers"] == 21
    assert figures["answer_length"] == sum(lengths) / 21
    assert figures["ended"] == sum(map(sum, (row["finished"] for row in rows))) / 21


def test_what_is_read_back_has_the_log_probabilities_of_the_training_pass(policy: Policy, tmp_path: Path):
    generate(policy, PROMPTS, CONFIG, out=tmp_path)
    groups = read(tmp_path / "answers.jsonl", kind="sample")
    template = resolve(policy.tokenizer)
    prompts = [tree.prompt for tree in prompt_trees(groups, template, max_length=64, room=6).trees]
    rollouts = [
        Rollout(i, k, answer.tokens or (), answer.logprobs or (), bool(answer.finished), 0)
        for i, group in enumerate(groups)
        for k, answer in enumerate(group.answers)
    ]
    table = training_logprobs(policy, prompts, rollouts, CONFIG, end_tokens=sorted(template.end_tokens))
    assert sampler_gap(rollouts, table)[0] <= 1e-4
    assert [a.text for g in groups for a in g.answers] == [template.text(rollout.tokens) for rollout in rollouts]


def test_a_sampled_nul_can_be_read_back_and_is_the_same_token(policy: Policy, tmp_path: Path):
    a, nul, b = (policy.tokenizer(text)["input_ids"][0] for text in ("a", "\0", "b"))
    generate(policy, PROMPTS[:1], CONFIG, out=tmp_path, engine=Writes(a, nul, b))
    [group] = read(tmp_path / "answers.jsonl", kind="sample")
    assert [answer.text for answer in group.answers] == ["a\ufffdb"] * 3
    assert [answer.tokens for answer in group.answers] == [(a, nul, b, 256)] * 3


@pytest.mark.parametrize("committed", [0, 1, 3])
def test_a_killed_run_ends_with_the_same_bytes(policy: Policy, tmp_path: Path, committed: int):
    wanted = generate(policy, PROMPTS, CONFIG, out=tmp_path / "whole")
    with pytest.raises(KilledError):
        generate(policy, PROMPTS, CONFIG, out=tmp_path / "cut", engine=Killed(policy, committed))
    assert not (tmp_path / "cut" / "answers.jsonl").exists()
    with (tmp_path / "cut" / "answers.part.jsonl").open("ab") as file:
        file.write(b'{"prompt": "half a li')  # killed while it wrote the next chunk
    assert generate(policy, PROMPTS, CONFIG, out=tmp_path / "cut") == wanted
    whole, cut = tmp_path / "whole" / "answers.jsonl", tmp_path / "cut" / "answers.jsonl"
    assert cut.read_bytes() == whole.read_bytes()


def test_only_what_was_not_committed_is_sampled_again(policy: Policy, tmp_path: Path):
    with pytest.raises(KilledError):
        generate(policy, PROMPTS, CONFIG, out=tmp_path, engine=Killed(policy, 3))
    generate(policy, PROMPTS, CONFIG, out=tmp_path, engine=Killed(policy, 1))  # the fourth chunk, and no other


@pytest.mark.parametrize("chunk", [1, 3, 5])
def test_chunks_of_another_size_go_on_behind_those_that_are_there(policy: Policy, tmp_path: Path, chunk: int):
    same = [Group("the same prompt", id=f"p{i}") for i in range(7)]
    with pytest.raises(KilledError):
        generate(policy, same, CONFIG, out=tmp_path, engine=Killed(policy, 2))
    left = (tmp_path / "answers.part.jsonl").read_bytes()
    with allowing(["chunk"]):
        figures = generate(policy, same, CONFIG.model_copy(update={"chunk": chunk}), out=tmp_path)
    assert (tmp_path / "answers.jsonl").read_bytes().startswith(left)
    rows = rows_of(tmp_path)
    assert [row["id"] for row in rows] == [group.id for group in same]
    assert (figures["prompts"], figures["answers"]) == (7, 21)
    assert len({json.dumps(row["tokens"]) for row in rows}) == 7, "no prompt has the random numbers of another"


def test_a_second_run_does_nothing(policy: Policy, tmp_path: Path):
    first = generate(policy, PROMPTS, CONFIG, out=tmp_path)
    written = (tmp_path / "answers.jsonl").stat().st_mtime_ns
    assert generate(policy, PROMPTS, CONFIG, out=tmp_path, engine=Killed(policy, 0)) == first
    assert (tmp_path / "answers.jsonl").stat().st_mtime_ns == written


def test_another_seed_on_the_same_folder_is_refused(policy: Policy, tmp_path: Path):
    generate(policy, PROMPTS, CONFIG, out=tmp_path)
    with pytest.raises(ConfigError, match="seed: 5 then, 6 now"):
        generate(policy, PROMPTS, CONFIG.model_copy(update={"seed": 6}), out=tmp_path)
    with pytest.raises(ConfigError, match="rows: "):
        generate(policy, PROMPTS[:3], CONFIG, out=tmp_path)


def test_a_file_of_unknown_origin_is_not_overwritten(policy: Policy, tmp_path: Path):
    (tmp_path / "answers.jsonl").write_text("precious\n", encoding="utf-8")
    with pytest.raises(NotOurs, match="nothing says what wrote it"):
        generate(policy, PROMPTS, CONFIG, out=tmp_path)
    assert (tmp_path / "answers.jsonl").read_text(encoding="utf-8") == "precious\n"


def test_the_text_ends_before_a_stop_string_and_the_tokens_after_it(policy: Policy, tmp_path: Path):
    generate(policy, PROMPTS, CONFIG, out=tmp_path / "free")
    free = [text for row in rows_of(tmp_path / "free") for text in row["answers"]]
    stop = next(text[2] for text in free if len(text) > 2 and text[2].isascii())
    generate(policy, PROMPTS, CONFIG.model_copy(update={"stop": (stop,)}), out=tmp_path / "stopped")
    rows = rows_of(tmp_path / "stopped")
    assert [text for row in rows for text in row["answers"]] == [text.split(stop)[0] for text in free]
    ends = [policy.tokenizer.decode(tokens).endswith(stop) for row in rows for tokens in row["tokens"]]
    assert sum(ends) == sum(stop in text for text in free)
