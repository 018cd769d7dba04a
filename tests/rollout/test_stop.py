"""An answer is cut where it has written a stop string, wherever its tokens begin and end."""

import re
from pathlib import Path

import pytest

from burnish.models.load import load_policy
from burnish.rollout.local import LocalEngine
from burnish.rollout.settings import Sampling


@pytest.mark.parametrize("packed", [True, False])
def test_an_answer_stops_with_the_token_that_completes_a_stop_string(tiny_model: Path, packed: bool):
    policy = load_policy(tiny_model, packed=packed)
    prompt = policy.tokenizer("Say something", add_special_tokens=False)["input_ids"]

    def texts(*stop: str) -> list[tuple[str, bool]]:
        settings = Sampling(max_new_tokens=40, stop=stop)
        rollouts = LocalEngine(policy, slots=3).sample([prompt], 8, settings, end_tokens=[256], seed=3)
        return [(policy.tokenizer.decode(r.tokens), r.finished) for r in rollouts]

    free = texts()
    stop = tuple(re.findall("[!-~]{2}", "\n".join(whole for whole, _ in free))[:2])  # what some of them wrote
    assert len(stop) == 2
    for (whole, _), (cut, finished) in zip(free, texts(*stop), strict=True):
        ends = [whole.index(s) + len(s) for s in stop if s in whole]
        assert cut == (whole[: min(ends)] if ends else whole)
        assert not (ends and finished)
