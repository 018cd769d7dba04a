"""Whatever a chat template holds, it prints or is refused with an error of ours; so does any conversation."""

import pytest
from fuzz import bounded, damaged, edits, fuzzed
from hypothesis import example, given
from hypothesis import strategies as st

from burnish.data.rendering import Printer, Sheet
from burnish.data.templates import Template, resolve
from burnish.errors import BurnishError
from burnish.types import Answer, Message
from tests.data import chat_templates as real
from tests.data.conftest import byte_level

PIECES = [
    *(
        "{{ ",
        " }}",
        "{% ",
        " %}",
        "{# ",
        " #}",
        "{%- ",
        " -%}",
        "'",
        '"',
        "(",
        ")",
        "[",
        "]",
        "|",
        ".",
        "-1",
        "7",
        "\n",
    ),
    *(
        "for m in messages",
        "endfor",
        "if m.role == 'user'",
        "else",
        "endif",
        "set a = ",
        "loop.index0",
        "break",
        "macro f(a)",
    ),
    *(
        "endmacro",
        "call f()",
        "generation",
        "endgeneration",
        "namespace(a=1)",
        "raise_exception('no')",
        "strftime_now('%Y')",
    ),
    *(
        "m.content",
        "m['role']",
        "messages[0]",
        "messages[9]",
        "tools",
        "bos_token",
        "add_generation_prompt",
        "tojson",
        "trim",
    ),
    *(
        "join(',')",
        "''.__class__",
        "attr('__init__')",
        "range(9)",
        "self",
        "cycler",
        "lipsum",
        "'x' * 99999",
        "1 / 0",
        "%c",
    ),
]
TALK = ({"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}, {"role": "user", "content": "c"})
SHIPPED = {
    "chatml": real.CHATML,
    "llama3": real.LLAMA3,
    "gemma": real.GEMMA,
    "mistral": real.MISTRAL,
    "thinking": real.THINKING,
}
ROLES = ["user", "assistant", "system", "tool"]
texts = st.text(max_size=20) | st.sampled_from(
    ["<|im_end|>", "<think>", "</think>", "\ud83d", "{{ 7 * 7 }}", "\u202e", ""]
)
turns = st.builds(Message, st.sampled_from(ROLES), texts)


def printed(source: str) -> None:
    with bounded("templates"):
        try:
            Printer(source, "it", {"bos_token": "<s>"}).texts(Sheet(TALK, None, ((1, True), (3, False))))
        except BurnishError:
            return


@fuzzed(120)
@given(pieces=st.lists(st.sampled_from(PIECES) | st.text(max_size=3), max_size=14))
@example(["{% for m in messages %}"] * 25 + ["{% endfor %}"] * 25)  # more blocks than Python takes
@example(["{{ " + "(" * 5000 + "1" + ")" * 5000 + " }}"])
@example(["{{ raise_exception('x' * 99999) }}"])
@example(["{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}"])
def test_any_template(pieces: list[str]):
    printed("".join(pieces))


@fuzzed(60)
@given(name=st.sampled_from(sorted(SHIPPED)), harm=edits)
def test_a_good_template_that_was_damaged(name: str, harm):
    printed(damaged(SHIPPED[name].encode(), harm).decode("utf-8", "replace"))


@pytest.fixture(scope="module")
def templates() -> list[Template]:
    kinds = [(real.CHATML, real.CHATML_TOKENS), (real.GEMMA, real.GEMMA_TOKENS), (real.THINKING, real.CHATML_TOKENS)]
    return [resolve(byte_level(tokens, chat_template=source, eos=tokens[1], bos=tokens[2])) for source, tokens in kinds]


@fuzzed(50)
@given(before=st.lists(turns, max_size=4), asked=texts, answer=texts, later=st.lists(turns, max_size=2))
def test_any_conversation(
    templates: list[Template], before: list[Message], asked: str, answer: str, later: list[Message]
):
    for template in templates:
        with bounded("conversations"):
            try:
                paths = template.paths((*before, Message("user", asked)), Answer(answer, later=tuple(later)))
            except BurnishError:
                continue
        assert all(len(path.tokens) == len(path.learned) for path in paths)
