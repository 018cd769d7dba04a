"""Text of models and data sets as a page may show it: nothing in it acts, and nothing in it hides.

Two forms: plain text, in which what cannot be seen is written out; and Markdown as a tree of tags and texts, which the
page builds element by element. Neither is ever parsed as HTML by a browser.
"""

import unicodedata
from functools import cache
from html.parser import HTMLParser
from typing import Any

import nh3
from markdown_it import MarkdownIt
from markdown_it.renderer import RendererHTML
from markdown_it.token import Token

LONGEST_FORMATTED = 40_000
"""Characters. One made to be slow keeps the parser for half a second at that length; a longer text is shown plain."""

TAGS = {
    *("p", "br", "em", "strong", "s", "code", "pre", "blockquote", "ul", "ol", "li", "hr"),
    *("h1", "h2", "h3", "h4", "h5", "h6", "table", "thead", "tbody", "tr", "th", "td"),
}
Tree = list[Any]
"""Texts, and [tag, child, …] for elements."""

_UNSEEN = {"\u00ad", "\u034f", "\u115f", "\u1160", "\u17b4", "\u17b5", "\u2800", "\u3164", "\uffa0"}
_JOINERS = {"\u200c", "\u200d"}


def visible(text: str) -> str:
    """`text` with what is invisible, turns the reading direction or drives a terminal written out: ⟨U+202E⟩, ␛.

    Newlines and tabs stay. So do joiners between the letters or pictures that they join: Persian and Hindi are not
    written without them, and 👩‍🔬 is one picture.
    """
    if text.isascii() and text.isprintable():
        return text
    text = text.replace("\r\n", "\n")
    return "".join(
        character if _plain(character) or (character in _JOINERS and _joins(text, at)) else _written(character)
        for at, character in enumerate(text)
    )


@cache
def _plain(character: str) -> bool:
    if character in "\n\t":
        return True
    if character in _UNSEEN or 0xE0100 <= ord(character) <= 0xE01EF:  # the latter select variants, and carry messages
        return False
    return unicodedata.category(character) not in ("Cc", "Cf", "Cs", "Co", "Zl", "Zp")


def _joins(text: str, at: int) -> bool:
    before, after = text[at - 1 : at], text[at + 1 : at + 2]
    return bool(before and after) and _joinable(before) and _joinable(after)


def _joinable(character: str) -> bool:
    """Arabic letters, Indic scripts with their signs, emoji with their selectors."""
    code = ord(character)
    arabic = unicodedata.bidirectional(character) == "AL"
    return arabic or 0x0900 <= code <= 0x0DFF or code == 0xFE0F or (code >= 0x2600 and _pictured(character))


def _pictured(character: str) -> bool:
    return unicodedata.category(character) in ("So", "Sk")


def _written(character: str) -> str:
    code = ord(character)
    return chr(0x2400 + code) if code < 0x20 else "␡" if code == 0x7F else f"⟨U+{code:04X}⟩"


def markdown(text: str) -> Tree | None:
    """`text` read as Markdown; None where it is longer than `LONGEST_FORMATTED`.

    HTML in it stays text. Links and images are text too, with their address: a picture that is loaded tells its owner
    who looks. What the renderer makes passes nh3 as well, which lets through nothing but `TAGS` without attributes.
    """
    if len(text) > LONGEST_FORMATTED:
        return None
    clean = nh3.clean(_reader().render(text), tags=TAGS, attributes={}, link_rel=None)
    built = _Built()
    built.feed(clean)
    built.close()
    return built.tree


@cache
def _reader() -> MarkdownIt:
    reader = MarkdownIt("commonmark", {"html": False, "maxNesting": 20}).enable(["table", "strikethrough"])
    reader.add_render_rule("link_open", _nothing)
    reader.add_render_rule("link_close", _address)
    reader.add_render_rule("image", _image)
    return reader


def _nothing(_: RendererHTML, tokens: list[Token], at: int, options: Any, env: Any) -> str:
    return ""


def _address(_: RendererHTML, tokens: list[Token], at: int, options: Any, env: Any) -> str:
    """The address of the link that ends here, after its words, unless those are the address."""
    depth, start = 1, at
    while depth:
        start -= 1
        depth += {"link_close": 1, "link_open": -1}.get(tokens[start].type, 0)
    address = str(tokens[start].attrGet("href") or "")
    words = "".join(token.content for token in tokens[start + 1 : at])
    return "" if words == address else nh3.clean_text(f" ({address})")


def _image(_: RendererHTML, tokens: list[Token], at: int, options: Any, env: Any) -> str:
    return nh3.clean_text(f"[{tokens[at].content}] ({tokens[at].attrGet('src') or ''})")


class _Built(HTMLParser):
    """Clean HTML as a tree."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.tree: Tree = []
        self._open: list[Tree] = [self.tree]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        element: Tree = [tag]
        self._open[-1].append(element)
        if tag not in ("br", "hr"):
            self._open.append(element)

    def handle_endtag(self, tag: str) -> None:
        if tag not in ("br", "hr") and len(self._open) > 1:
            self._open.pop()

    def handle_data(self, data: str) -> None:
        # text between blocks is nothing but the renderer's line breaks
        around = self._open[-1]
        if data.strip() or (around is not self.tree and around[0] not in ("ul", "ol", "table", "tr")):
            around.append(data)
