"""A reward server that goes away amid a run: the run ends, and goes on as if nothing had been once it is back."""

import json
from pathlib import Path

import pytest
from fault.typed import results, words
from rewards.served import reply, serving

from burnish.cli.main import main

ASKED_BEFORE = 4  # questions that are answered: one an iteration, so three steps are whole


@pytest.mark.faults
def test_no_prompt_is_lost_or_learned_twice(here: Path, capsys: pytest.CaptureFixture[str]):
    there = True

    def answer(handler, question):
        if not there and len(questions) > ASKED_BEFORE:
            return reply(handler, b"<h1>gone</h1>", 404, "text/html")
        return reply(handler, json.dumps({"scores": [len(text) / 10 for text in question["answers"]]}).encode())

    with serving(answer) as (address, questions):
        typed = [address if word == "scorer/model" else word for word in words("ppo", "whole")]
        assert main(typed) == 0
        there = False
        questions.clear()
        typed = ["run" if word == "whole" else word for word in typed]
        capsys.readouterr()
        assert main(typed) == 69
        told = capsys.readouterr().err
        assert address in told
        assert "404" in told
        assert "prompt 1" in told
        there = True
        assert main(typed) == 0
    assert results(here / "run") == results(here / "whole")
