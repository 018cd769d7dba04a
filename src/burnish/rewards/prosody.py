"""Rules of regular Chinese verse: how a couplet is shaped, how it rhymes, how its tones alternate.

A couplet is two clauses of five or seven characters, 「，」 after the first and 「。」 after the second. It follows
an opening, the couplet before it. Each rule gives a number that is 0 where nothing is left to wish for.

Rhymes and tones are those of the Pingshui rhyme book of 1252 in simplified characters, by which Tang verse is read
since: 106 rhymes, of which 30 are level (平) and the rest oblique (仄). A character with two readings has both.
"""

import json
import re
from collections.abc import Mapping
from functools import cache
from importlib import resources
from itertools import pairwise

LEVEL, OBLIQUE = "平", "仄"  # 上, 去 and 入 are oblique
WEIGHED = (1, 3, 5)  # second, fourth and sixth characters: 二四六分明
_HAN = "\u3400-\u4dbf\u4e00-\u9fff\U00020000-\U0003134f"
_CHARACTER = re.compile(f"[{_HAN}]")
_CLAUSE = re.compile(f"[{_HAN}]+")


def clauses(text: str) -> list[str]:
    """The runs of Chinese characters of a text."""
    return _CLAUSE.findall(text)


def measure(opening: str) -> int:
    """Characters of a clause of the opening, its last one's; 5 where it has none."""
    return len(found[-1]) if (found := clauses(opening)) else 5


def shape(opening: str, couplet: str) -> int:
    """Characters to put in, take out or change until `couplet` has the opening's measure and the right marks.

    Levenshtein's distance to 「字字字字字，字字字字字。」, where any other letter or mark is no 字.
    """
    clause = "字" * measure(opening)
    wanted, found = f"{clause}，{clause}。", _CHARACTER.sub("字", couplet)
    row = list(range(len(wanted) + 1))
    for i, sign in enumerate(found, 1):
        above, row = row, [i]
        for j, other in enumerate(wanted, 1):
            row.append(min(above[j] + 1, row[j - 1] + 1, above[j - 1] + (sign != other)))
    return row[-1]


def returns(opening: str, couplet: str) -> float:
    """Share of a couplet's characters that stood before, in it or in the opening. 悠悠, said at once, is no return."""
    seen = set(opening)
    found = 0
    characters = "".join(clauses(couplet))
    for before, character in pairwise(f"，{characters}"):
        found += character in seen and character != before
        seen.add(character)
    return found / len(characters) if characters else 0.0


def unrhymed(opening: str, couplet: str) -> float:
    """1 where the last character has no rhyme with the opening's last, or is that very character; else 0."""
    first, second = ("".join(clauses(text))[-1:] for text in (opening, couplet))
    rhyme_of = readings()
    return float(first == second or not rhyme_of.get(first, frozenset()) & rhyme_of.get(second, frozenset()))


def tone(character: str) -> str:
    """Level or oblique; empty where it may be either, or is not known."""
    found = {LEVEL if rhyme.startswith(LEVEL) else OBLIQUE for rhyme in readings().get(character, ())}
    return found.pop() if len(found) == 1 else ""


def discord(couplet: str) -> float:
    """Share of tones that should differ and do not: second from fourth, fourth from sixth, clause from clause.

    1 where there is nothing to compare.
    """
    rows = [[tone(clause[i : i + 1]) for i in WEIGHED] for clause in clauses(couplet)[:2]]
    pairs = [pair for row in rows for pair in pairwise(row)]
    if len(rows) == 2:
        pairs.append((rows[0][0], rows[1][0]))
    known = [first == second for first, second in pairs if first and second]
    return sum(known) / len(known) if known else 1.0


@cache
def readings() -> Mapping[str, frozenset[str]]:
    """The rhymes of each character. A rhyme's name begins with its tone, 平, 上, 去 or 入: 平 一东."""
    table = json.loads(resources.files("burnish").joinpath("assets/judges/pingshui.json").read_text(encoding="utf-8"))
    found: dict[str, set[str]] = {}
    for rhyme, characters in table.items():
        for character in characters:
            found.setdefault(character, set()).add(rhyme)
    return {character: frozenset(rhymes) for character, rhymes in found.items()}
