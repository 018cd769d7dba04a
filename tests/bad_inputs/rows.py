"""Rows that cannot be learned from."""

import json
from collections.abc import Sequence
from typing import Any

from bad_inputs.kinds import GOOD, Kind, file, row

ASK, SAY = ("user", "a"), ("assistant", "b")
PAIR = {"prompt": "a", "answers": ["b", "c"]}


PLAIN = "{% for m in messages %}{{ m.role + ': ' + (m.content or '') + '\n' }}{% endfor %}"
ALTERNATING = (
    "{% for m in messages %}{% if (m.role == 'user') != (loop.index0 % 2 == 0) %}"
    "{{ raise_exception('roles must alternate') }}{% endif %}{{ m.content }}{% endfor %}"
)


def talk(*turns: tuple[str, Any]) -> dict[str, Any]:
    return {"messages": [{"role": role, "content": content} for role, content in turns]}


def ranked(what: str, ranking: Any, *says: str) -> Kind:
    return row(what, {**PAIR, "ranking": ranking}, *says, to="ranking")


def sft(what: str, rows: Sequence[dict[str, Any]], *says: str, settings: str = "", code: int = 65, **more: Any) -> Kind:
    """Rows that only a model's tokenizer and template can refuse."""
    words = "sft --model model --data rows.jsonl --out out --set max_length=32 --set steps=1"
    data = "".join(json.dumps(one) + "\n" for one in rows)
    return Kind(what, f"{words} {settings}".strip(), code, says, {"rows.jsonl": data}, model=True, **more)


MESSAGES = [
    row("no messages", {"messages": []}, "messages is an empty list"),
    row(
        "a role that is misspelt",
        talk(ASK, ("asistant", "b")),
        'role text "asistant" is unknown',
        "did you mean assistant?",
    ),
    row("a turn without a role", {"messages": [{"content": "a"}]}, "messages[0] has no role"),
    row("no assistant turn", talk(ASK), "messages has no assistant turn: nothing to learn; found user"),
    row("a conversation that the assistant opens", talk(SAY, ASK, SAY), "begins with an assistant turn"),
    row("an answer of blanks", talk(ASK, ("assistant", " \n")), "is empty or blank"),
    row("content that is null", talk(ASK, ("assistant", None)), "content is null or missing"),
    row("content that is a number", talk(("user", 3), SAY), "content must be text or a list of parts, found number 3"),
    row(
        "a picture",
        talk(("user", [{"type": "image_url", "image_url": {"url": "x"}}]), SAY),
        "images, sound and files are not supported",
    ),
    row(
        "ShareGPT's turns beside OpenAI's",
        {"conversations": [{"from": "human", "value": "a"}, *talk(SAY)["messages"]]},
        "conversations mixes `from` and `role`",
    ),
    row(
        "a speaker that ShareGPT does not have",
        {"conversations": [{"from": "humn", "value": "a"}]},
        'from text "humn" is unknown; choose one of system',
    ),
]

DEMONSTRATIONS = [
    row("Alpaca without an output", {"instruction": "a", "input": "b"}, "output is missing", format="alpaca"),
    row("an empty response", {"prompt": "a", "response": ""}, "response is empty or blank"),
    row("a blank prompt", {"prompt": " ", "response": "b"}, "prompt is empty or blank"),
    row("a response that is a number", {"prompt": "a", "response": 3}, "response must be text, found number 3"),
    file(
        "columns of no known format",
        '{"question": "a", "reply": "b"}\n',
        "train.jsonl: no known format has these columns; found question, reply",
        "the nearest is",
        "which wants",
    ),
    file(
        "a row of another format than the file",
        GOOD * 3 + '{"instruction": "a", "output": "b"}\n',
        "train.jsonl:4: prompt is missing; found columns instruction, output",
        "(format demonstration)",
    ),
    Kind(
        "columns that fit two formats",
        "data validate rows.jsonl",
        65,
        ("rows.jsonl: its columns", "say which with `format: "),
        {"rows.jsonl": '{"messages": [], "prompt": "a", "response": "b"}\n'},
    ),
    Kind(
        "a kind of record that there is not",
        "data convert rows.jsonl --to demos --out out.jsonl",
        78,
        ("kind: demos: no such kind; choose one of text, prompt, demonstration",),
        {"rows.jsonl": GOOD},
    ),
]

PREFERENCES = [
    row(
        "the same answer chosen and rejected",
        {"prompt": "a", "chosen": "b", "rejected": "b"},
        'chosen and rejected are equal; found text "b" twice',
        to="comparison",
    ),
    row(
        "nothing rejected",
        {"prompt": "a", "chosen": "b", "rejected": None},
        "rejected is missing",
        to="comparison",
        format="comparison",
    ),
    row(
        "a margin that is text",
        {"prompt": "a", "chosen": "b", "rejected": "c", "margin": "2"},
        "margin must be a number, found text",
        to="comparison",
    ),
    row(
        "two dialogues with no turn in common",
        {"chosen": "\n\nHuman: a\n\nAssistant: b", "rejected": "\n\nHuman: x\n\nAssistant: c"},
        "share no user turn to answer",
        to="comparison",
    ),
    ranked("an answer that is not ranked", [[0]], "ranking: answer 1 is not ranked"),
    ranked("an answer that is ranked twice", [[0], [0, 1]], "ranking: answer 0 stands 2 times; write it once"),
    ranked(
        "a rank of an answer that there is not", [[0], [2]], "ranking: unknown answer 2; there are 2 answers, 0 to 1"
    ),
    ranked("truth values for ranks", [True, False], "ranking must hold answers' indices, found true"),
    row(
        "one answer to rank",
        {"prompt": "a", "answers": ["b"], "ranking": [0]},
        "answers must be at least 2, found 1",
        to="ranking",
    ),
    row("a vote for the third of two", {**PAIR, "votes": [3]}, "votes[0] must be 1 (the first)", to="ranking"),
    row(
        "a label in quotes",
        {"prompt": "a", "response": "b", "label": "true"},
        'label must be true or false, found text "true"; write it without quotes',
        to="judgement",
    ),
    row(
        "a label of 1",
        {"prompt": "a", "response": "b", "label": 1},
        "label must be true or false, found number 1",
        to="judgement",
    ),
    row(
        "tokens of one answer for two",
        {**PAIR, "tokens": [[1]]},
        "tokens must have one entry an answer; found 1 for 2 answers",
        to="sample",
        format="sample",
    ),
    row(
        "scores that are text",
        {**PAIR, "scores": ["1", "2"]},
        "scores[0] must be a number",
        to="sample",
        format="sample",
    ),
]

TOGETHER = [
    Kind(
        "rows that repeat, where that is not to be",
        "data validate train.jsonl --strict",
        65,
        ("train.jsonl: 2 rows repeat an earlier one", "train.jsonl:3 is like train.jsonl:1"),
        {"train.jsonl": GOOD * 3},
    ),
    Kind(
        "held-out prompts among the training data",
        "data validate train.jsonl --against heldout.jsonl --strict",
        65,
        ("heldout.jsonl",),
        {"train.jsonl": GOOD, "heldout.jsonl": GOOD},
    ),
    sft(
        "a prompt that leaves no room for its answer",
        [{"prompt": "long " * 20, "response": "b"}],
        "rows.jsonl:1: the prompt alone has 100 tokens",
    ),
    sft(
        "an answer of nothing but a control token",
        [{"prompt": "a", "response": "<|end|>"}],
        "rows.jsonl:1: answer 1 holds nothing but control tokens",
    ),
    sft(
        "turns that the chat template refuses",
        [talk(ASK, ASK, SAY)],
        "rows.jsonl:1: ",
        "template chat refuses this conversation: roles must alternate",
        make=lambda place: (place / "model/chat_template.jinja").write_text(ALTERNATING),
    ),
    sft(
        "tool calls for a template without tools",
        [
            {
                "messages": [
                    {"role": "user", "content": "a"},
                    {"role": "assistant", "tool_calls": [{"function": {"name": "f", "arguments": "{}"}}]},
                    {"role": "tool", "content": "c"},
                    {"role": "assistant", "content": "b"},
                ]
            }
        ],
        "rows.jsonl:1: ",
        "template chat cannot show tool_calls; choose one that can, or leave them out",
        make=lambda place: (place / "model/chat_template.jinja").write_text(PLAIN),
    ),
    sft(
        "a conversation for a model without a chat template",
        [talk(ASK, SAY, ASK, SAY)],
        "chatml, llama3, zephyr, alpaca, gemma, dialogue",
        code=78,
    ),
    sft(
        "a chat template that the tokenizer does not have",
        [talk(ASK, SAY)],
        "template: chat: this tokenizer has no chat template; choose one of chatml",
        settings="--set template=chat",
        code=78,
    ),
    sft(
        "a built-in template whose control tokens are missing",
        [talk(ASK, SAY)],
        "template: llama3: it writes ",
        "which this tokenizer does not have; choose one that needs no control tokens: zephyr",
        settings="--set template=llama3",
        code=78,
    ),
]

SECTIONS = {
    "Conversations": MESSAGES,
    "Demonstrations": DEMONSTRATIONS,
    "Preferences": PREFERENCES,
    "Rows together, and with a model": TOGETHER,
}
