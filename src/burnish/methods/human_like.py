"""Models' answers beside what people wrote to the same prompts: see evaluation/told_apart.py."""

import sys
from collections.abc import Mapping, Sequence

from burnish.errors import DataError
from burnish.evaluation.told_apart import Written, check_enough, told_apart
from burnish.methods.verdicts import Compared
from burnish.types import Group, Prompt

Theirs = Mapping[Prompt, Sequence[str]]
"""What people wrote, by prompt."""


def people_by_prompt(people: Sequence[Group], prompts: Sequence[Group]) -> Theirs:
    """Every text of `people` by its prompt, before any model has answered `prompts`.

    Raises DataError for a row that is not one answer to one prompt, ConfigError where too few of `prompts` have one.
    """
    found: dict[Prompt, list[str]] = {}
    for group in people:
        if len(group.answers) != 1 or not group.prompt:
            raise DataError(
                f"{group.origin}: people: a row is a prompt and what a person answered; found {len(group.answers)} "
                "answers; give a file of prompt and response"
            )
        found.setdefault(_bare(group.prompt), []).append(group.answers[0].text)
    check_enough(sum(_bare(group.prompt) in found for group in prompts))
    return found


def beside_people(groups: Sequence[Group], found: Compared, theirs: Theirs) -> dict[str, dict[str, float | None]]:
    """Each model's figures, of the prompts to which people wrote something; tells on stderr what to know of them.

    An answer that was cut by its length has no end, which no person's text lacks.
    """
    texts = [theirs.get(_bare(groups[index].prompt), ()) for index in found.asked]
    if missing := sum(not one for one in texts):
        print(f"people: {missing} of {len(texts)} prompts have no answer by people, and tell nothing", file=sys.stderr)
    figures = {}
    for name, measured in found.measured.items():
        known = [place for place, one in enumerate(texts) if one]
        ended = [end for place in known for end in measured.ended_GK[place]]
        if cut := len(ended) - sum(ended):
            print(
                f"people: {cut} of {len(ended)} answers of {name} were cut by their length, and show it",
                file=sys.stderr,
            )
        figures[name] = told_apart(
            [
                Written(str(groups[found.asked[place]].prompt), texts[place], measured.answer_GK[place])
                for place in known
            ]
        )
    return figures


def _bare(prompt: Prompt) -> Prompt:
    """A conversation of one user turn is that turn's text: files write the same prompt in both ways."""
    if not isinstance(prompt, str) and len(prompt) == 1 and prompt[0].role == "user":
        return prompt[0].content
    return prompt
