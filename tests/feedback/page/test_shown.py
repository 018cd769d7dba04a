"""Text of models is shown as it is: nothing in it acts, and nothing in it hides."""

import time

import pytest

from burnish.feedback.page.shown import LONGEST_FORMATTED, TAGS, markdown, visible


@pytest.mark.parametrize(
    ("hidden", "shown"),
    [
        ("a\u202eb", "a⟨U+202E⟩b"),
        ("a\u2066b\u2069", "a⟨U+2066⟩b⟨U+2069⟩"),
        ("a\u200bb", "a⟨U+200B⟩b"),
        ("a\u200db", "a⟨U+200D⟩b"),
        ("\ufeffa", "⟨U+FEFF⟩a"),
        ("a\u00adb", "a⟨U+00AD⟩b"),
        ("a\U000e0041b", "a⟨U+E0041⟩b"),
        ("a\U000e0101b", "a⟨U+E0101⟩b"),
        ("\x1b[31mred\x1b[0m", "␛[31mred␛[0m"),
        ("a\x00b\x07", "a␀b␇"),
        ("a\x7f\x9b", "a␡⟨U+009B⟩"),
        ("a\ud800b", "a⟨U+D800⟩b"),
        ("a\u2028b", "a⟨U+2028⟩b"),
    ],
    ids=ascii,
)
def test_what_cannot_be_seen_is_written_out(hidden: str, shown: str):
    assert visible(hidden) == shown
    assert visible(hidden).encode("utf-8")


@pytest.mark.parametrize(
    "text",
    [
        "plain\n\ttext",
        "naïve 中文 العربية",
        "👩\u200d🔬",
        "👩🏽\u200d⚕\ufe0f",
        "می\u200cخواهم",
        "क्\u200dष",
    ],
)
def test_what_belongs_to_a_script_or_a_picture_stays(text: str):
    assert visible(text) == text


def test_line_ends_are_newlines():
    assert visible("a\r\nb\rc") == "a\nb␍c"


def test_markdown_is_a_tree_of_tags():
    assert markdown("A *b* `c`\n\n- d\n- e") == [
        ["p", "A ", ["em", "b"], " ", ["code", "c"]],
        ["ul", ["li", "d"], ["li", "e"]],
    ]


def test_code_keeps_its_lines():
    assert markdown("```py\nif a < b:\n\n    pass\n```") == [["pre", ["code", "if a < b:\n\n    pass\n"]]]


def test_links_and_pictures_are_text_with_their_address():
    assert markdown("[here](http://x.example/?a=1&b=2) ![cat](http://x.example/cat.png)") == [
        ["p", "here (http://x.example/?a=1&b=2) [cat] (http://x.example/cat.png)"]
    ]
    assert markdown("<http://x.example/>") == [["p", "http://x.example/"]]


def tags(tree: list[object]) -> set[str]:
    found: set[str] = set()
    for node in tree:
        if isinstance(node, list):
            found |= {node[0], *tags(node[1:])}
    return found


def text(tree: list[object]) -> str:
    return "".join(node if isinstance(node, str) else text(node[1:]) for node in tree)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "hostile",
    [
        "<script>alert(1)</script>",
        '<img src=x onerror="alert(1)">',
        "<svg/onload=alert(1)>",
        "[x](javascript:alert(1))",
        '[x](http://a.example/"onmouseover=alert(1))',
        "![x](data:text/html,<script>alert(1)</script>)",
        "&lt;script&gt;alert(1)&lt;/script&gt;",
        "<style>*{display:none}</style>",
        "`<iframe src=//evil>`",
        "| a |\n|---|\n| <b onclick=x> |",
    ],
)
def test_html_in_markdown_stays_text(hostile: str):
    tree = markdown(hostile)
    assert tree is not None
    assert tags(tree) <= TAGS
    assert tags(tree) & {"script", "img", "svg", "a", "style", "iframe", "b"} == set()
    assert any(word in text(tree) for word in ("alert(1)", "display:none", "iframe", "onclick"))


def test_a_long_text_is_not_formatted_and_a_deep_one_ends():
    assert markdown("a" * (LONGEST_FORMATTED + 1)) is None
    began = time.monotonic()
    for deep in (">" * LONGEST_FORMATTED, "[" * LONGEST_FORMATTED, "*a " * (LONGEST_FORMATTED // 3), "- " * 10_000):
        assert markdown(deep) is not None
    assert time.monotonic() - began < 20
