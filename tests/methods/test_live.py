"""Models that answer while somebody watches: what streams is what is stored, and the store knows where it is from."""

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import pytest

from burnish.batch.trees import prompt_trees
from burnish.data.templates import resolve
from burnish.errors import BurnishError, ConfigError
from burnish.methods.live import LiveConfig, LiveModels
from burnish.models.load import load_policy
from burnish.rollout.local import LocalEngine
from burnish.training.identity import weights_hash
from burnish.types import Group, Message, Prompt

SHORT = LiveConfig(answers=4, max_new_tokens=8, max_length=64)


def written(models: LiveModels, prompt: Prompt = "Say it: ") -> tuple[list[Sequence[str]], Group]:
    """Every look at the texts, and the group."""
    writing, seen = models.write(prompt, "one"), []
    while True:
        try:
            seen.append(next(writing))
        except StopIteration as over:
            return seen, over.value


def test_what_streams_is_what_one_call_would_have_sampled_with_its_lineage(tiny_model: Path, other_model: Path):
    seen, group = written(LiveModels([tiny_model, other_model], SHORT))
    assert all(len(texts) == 4 for texts in seen)
    assert len(seen) > 2
    for before, after in pairwise(seen):
        assert all(len(now) >= len(then) for then, now in zip(before, after, strict=True))
    assert list(seen[-1]) == [answer.text.rstrip("\ufffd") for answer in group.answers]
    assert [answer.source for answer in group.answers] == [tiny_model.name, tiny_model.name, "other", "other"]
    for at, folder in enumerate((tiny_model, other_model)):
        policy = load_policy(folder)
        assert group.extra["models"][folder.name] == weights_hash(policy)
        template = resolve(policy.tokenizer, "auto")
        (tree,) = prompt_trees([Group("Say it: ")], template, max_length=64, room=8).trees
        alone = LocalEngine(policy).sample(
            [tree.prompt], 2, SHORT, end_tokens=sorted(template.end_tokens), seed=group.extra["seed"]
        )
        own = group.answers[2 * at : 2 * at + 2]
        assert [answer.tokens for answer in own] == [rollout.tokens for rollout in alone]
        assert [answer.text for answer in own] == [template.text(rollout.tokens) for rollout in alone]
    assert group.extra["sampling"]["max_new_tokens"] == 8


def test_a_conversation_needs_a_template(tiny_model: Path):
    turns = (Message("user", "a"), Message("assistant", "b"), Message("user", "c"))
    plain = LiveModels([tiny_model], SHORT)
    assert not plain.turns
    with pytest.raises(ConfigError, match="no chat template"):
        written(plain, turns)
    spoken = LiveModels([tiny_model], SHORT.model_copy(update={"template": "dialogue"}))
    assert spoken.turns
    assert written(spoken, turns)[1].extra["model"] == weights_hash(load_policy(tiny_model))


def test_a_prompt_that_has_no_room_is_refused(tiny_model: Path):
    with pytest.raises(BurnishError):
        written(LiveModels([tiny_model], LiveConfig(max_new_tokens=200, max_length=400)), "x" * 190)


@pytest.mark.parametrize(
    ("models", "answers", "told"), [(2, 3, "shared evenly"), (3, 6, "3 models"), (2, 4, "named twice")]
)
def test_models_and_answers_that_do_not_fit_are_refused(tiny_model: Path, models: int, answers: int, told: str):
    with pytest.raises(ConfigError, match=told):
        LiveModels([tiny_model] * models, LiveConfig(answers=answers))
