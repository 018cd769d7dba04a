"""Generate from a model behind an OpenAI-compatible address: a real http server writes the answers."""

import json
from pathlib import Path
from typing import Any

import pytest
from rewards.served import parrot, reply, root, serving

from burnish.cli.main import main
from burnish.data.read import read
from burnish.errors import ConfigError, Unreachable
from burnish.methods.generate import GenerateConfig, generate
from burnish.rollout.served import Server
from burnish.types import Group, Message

TALK = (Message("user", "Hello."), Message("assistant", "Good day."), Message("user", "Who are you?"))
PROMPTS = [Group("What is 1 + 1?", id="a"), Group(TALK, id="b", extra={"topic": "names"}), Group("Sing.", id="c")]


def test_answers_of_a_served_model_are_samples_that_every_later_stage_reads(tmp_path: Path):
    config = GenerateConfig(samples=2, seed=3, chunk=2, temperature=0.7, server=Server(model="big"))
    with serving(parrot) as (address, questions):
        figures = generate(root(address), PROMPTS, config, out=tmp_path)
    groups = read(tmp_path / "answers.jsonl", kind="sample")
    assert [group.id for group in groups] == ["a", "b", "c"]
    assert [group.prompt for group in groups] == [group.prompt for group in PROMPTS]
    for group, last in zip(groups, ["What is 1 + 1?", "Who are you?", "Sing."], strict=True):
        assert all(answer.text.startswith(f"{last} (") for answer in group.answers)
        assert all((answer.tokens, answer.finished) == (None, True) for answer in group.answers)
        assert len({answer.text for answer in group.answers}) == 2  # a seed each
        assert group.extra["model"] == f"big@{root(address)}/v1/chat/completions"
    assert groups[1].extra["topic"] == "names"
    assert figures == {"prompts": 3, "answers": 6, "answer_length": 5, "ended": 1}
    asked = [question for question, _ in questions]
    assert {(one["model"], one["temperature"], one["max_tokens"]) for one in asked} == {("big", 0.7, 64)}
    assert [{"role": "user", "content": "Hello."}, {"role": "assistant", "content": "Good day."}] in [
        one["messages"][:2] for one in asked
    ]


def test_what_openai_does_not_know_is_sent_only_where_it_is_set(tmp_path: Path):
    with serving(parrot) as (address, questions):
        generate(address, PROMPTS[:1], GenerateConfig(samples=1), out=tmp_path / "plain")
        config = GenerateConfig(samples=1, top_k=5, min_new_tokens=2, top_p=0.9, stop=("\n",), max_new_tokens=7)
        generate(address, PROMPTS[:1], config, out=tmp_path / "set")
    (plain, _), (given, _) = questions
    assert plain.keys() == {"messages", "temperature", "max_tokens", "seed"}
    assert given.keys() - plain.keys() == {"top_k", "min_tokens", "top_p", "stop"}
    (group,) = read(tmp_path / "set/answers.jsonl")
    assert group.answers[0].finished is False


def test_plain_text_goes_on_where_no_template_is_wanted(tmp_path: Path):
    with serving(parrot) as (address, _):
        generate(root(address), PROMPTS[:1], GenerateConfig(samples=1, template="none"), out=tmp_path / "a")
        with pytest.raises(ConfigError, match="template: none: a prompt is a conversation"):
            generate(root(address), PROMPTS[1:2], GenerateConfig(samples=1, template="none"), out=tmp_path / "b")
        with pytest.raises(ConfigError, match="template: chatml: a model behind an address writes prompts"):
            generate(root(address), PROMPTS[:1], GenerateConfig(template="chatml"), out=tmp_path / "c")
    assert read(tmp_path / "a/answers.jsonl")[0].answers[0].text.startswith("What is 1 + 1? goes on")


def test_a_server_that_dies_costs_the_chunk_that_it_was_at(tmp_path: Path):
    """The same command goes on behind what is safe, and the file is that of a run that nothing happened to."""
    left = [3]  # answers until it dies: the first chunk, and one of the second

    def dies(handler: Any, question: dict[str, Any]) -> None:
        left[0] -= 1
        if left[0] < 0:
            reply(handler, b"out of memory", status=400, kind="text/plain")
        else:
            parrot(handler, question)

    config = GenerateConfig(samples=2, chunk=1, server=Server(model="m", at_once=1, retries=0))
    with serving(dies) as (address, questions):
        with pytest.raises(Unreachable, match=r'asked about prompt 2 \("Who are you\?"\): answered 400'):
            generate(address, PROMPTS, config, out=tmp_path / "cut")
        assert len((tmp_path / "cut/answers.part.jsonl").read_text("utf-8").splitlines()) == 1
        left[0] = 100
        asked = len(questions)
        patient = config.model_copy(update={"server": Server(model="m", at_once=4, retries=5)})
        generate(address, PROMPTS, patient, out=tmp_path / "cut")
        assert len(questions) - asked == 4
        generate(address, PROMPTS, config, out=tmp_path / "whole")
        with pytest.raises(ConfigError, match=r"server.model: m then, other now"):
            generate(
                address, PROMPTS, GenerateConfig(samples=2, chunk=1, server=Server(model="other")), out=tmp_path / "cut"
            )
    assert (tmp_path / "cut/answers.jsonl").read_bytes() == (tmp_path / "whole/answers.jsonl").read_bytes()


@pytest.mark.parametrize(
    ("body", "told"),
    [
        ({"choices": []}, r"without choices\[0\].message.content; is it OpenAI-compatible"),
        ({"choices": [{"message": {"content": None}}]}, "where an answer's text is wanted"),
    ],
)
def test_what_is_no_answer_is_refused(body: dict[str, Any], told: str, tmp_path: Path):
    answer = json.dumps(body).encode()
    with serving(lambda handler, _: reply(handler, answer)) as (address, _), pytest.raises(Unreachable, match=told):
        generate(address, PROMPTS[:1], GenerateConfig(), out=tmp_path)


def test_the_command_line_takes_an_address_and_the_others_say_that_they_do_not(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    prompts = tmp_path / "prompts.jsonl"
    prompts.write_text('{"prompt": "Sing."}\n', encoding="utf-8")
    out = tmp_path / "answers.jsonl"
    with serving(parrot) as (address, _):
        given = ["--prompts", str(prompts), "--model", root(address)]
        assert main(["generate", *given, "--samples", "3", "--out", str(out)]) == 0
        assert len(read(out, kind="sample")[0].answers) == 3
        assert main(["ppo", *given, "--by", "judges:kind", "--out", str(tmp_path / "ppo")]) == 78
    assert (
        "a model behind an http address can be sampled by generate; name a model that is here"
        in capsys.readouterr().err
    )
    given[-1] = "http://192.0.2.1/v1"
    assert main(["generate", *given, "--out", str(tmp_path / "far.jsonl")]) == 69
    assert "would send prompts and answers unencrypted to another machine" in capsys.readouterr().err
