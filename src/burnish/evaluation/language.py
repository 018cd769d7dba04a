"""The languages in which people are told of a run: a report's, a verdict's sentences'."""

from collections.abc import Mapping
from typing import Literal, get_args

from burnish.data.problems import described
from burnish.errors import UsageError

Language = Literal["en", "zh"]
LANGUAGES: tuple[Language, ...] = get_args(Language)
HTML: Mapping[Language, str] = {"en": "en", "zh": "zh-Hans"}
"""What a page calls them (BCP 47)."""


def language_of(text: str) -> Language:
    """The language of that name. Raises UsageError for another."""
    for language in LANGUAGES:
        if text == language:
            return language
    raise UsageError(f"--language {described(text)}: there is {' and '.join(LANGUAGES)}")
