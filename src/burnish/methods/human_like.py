"""Models' answers beside what people wrote to the same prompts: see evaluation/told_apart.py."""

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from burnish.errors import DataError
from burnish.evaluation.intervals import proportion
from burnish.evaluation.splits import share
from burnish.evaluation.told_apart import BY_PEOPLE, Written, check_enough, told_apart
from burnish.methods.people import TOLD_APART, PeopleConfig, judged_by_people, judgements
from burnish.methods.verdicts import Compared, item_name, item_named
from burnish.types import Answer, Group, Prompt

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


def told_by_people(
    groups: Sequence[Group], found: Compared, theirs: Theirs, config: PeopleConfig, out: Path
) -> dict[str, dict[str, float | None]]:
    """How often people name the person's text, shown beside a model's answer to the same prompt, once they have said
    enough: the mean over prompts of 1 (named), ½ (they cannot tell) and 0, with its interval; 0.5 is by chance. A model
    of which nobody was asked has none.

    A prompt is asked about once, with one answer of one model: a person's text that comes back is known by memory. To
    be asked before the models are compared, for a text that was not among their answers is known too.

    Of several texts by people the prompt's hash takes one. Texts that are alike are asked about by nobody: they cannot
    be told apart. Space around a text would tell who wrote it, and is taken off. Raises as `judged_by_people`, but for
    an `enough` above the number of items, which is all of them.
    """
    from burnish.feedback.records import Item

    items: dict[str, Item] = {}
    right: dict[str, dict[int, list[float]]] = {name: {} for name in found.measured}
    for place, name, k in _one_a_prompt(groups, found, theirs):
        prompt = groups[found.asked[place]].prompt
        texts, text = theirs[_bare(prompt)], found.measured[name].answer_GK[place][k].strip()
        person = texts[int(share(str(prompt), "told apart by people") * len(texts))].strip()
        if text == person:
            right[name][place] = [0.5]
            continue
        answers = (Answer(person, source="a person"), Answer(text, source=name))
        id_ = item_name(name, place, k)
        items[id_] = Item(Group(prompt, answers, id=id_), task="person")
    if items:
        enough = min(config.enough or len(items), len(items))
        judged_by_people(list(items.values()), config.model_copy(update={"enough": enough}), out, TOLD_APART)
        for one in judgements(out, TOLD_APART):
            name, place, _ = item_named(one.item)
            by_person, by_model = one.place_K
            right[name].setdefault(place, []).append(0.5 * (1 + (by_person < by_model) - (by_person > by_model)))
    return {name: _by_people(values) for name, values in right.items()}


def _one_a_prompt(groups: Sequence[Group], found: Compared, theirs: Theirs) -> list[tuple[int, str, int]]:
    """The place of every prompt to which people wrote, with a model and the number of its answer, both by the prompt's
    hash; each model has as many prompts as another, or one more. Of rows of one prompt the first is taken."""
    place_of: dict[Prompt, int] = {}
    for place, index in enumerate(found.asked):
        if theirs.get(bare := _bare(groups[index].prompt)):
            place_of.setdefault(bare, place)
    names, chosen = list(found.measured), []
    by_hash = sorted(place_of, key=lambda bare: (share(str(bare), "told apart by people: model"), str(bare)))
    for turn, bare in enumerate(by_hash):
        place, name = place_of[bare], names[turn % len(names)]
        answers = len(found.measured[name].answer_GK[place])
        chosen.append((place, name, int(share(str(bare), "told apart by people: answer") * answers)))
    return chosen


def _by_people(right: Mapping[int, Sequence[float]]) -> dict[str, float | None]:
    if not right:
        return dict.fromkeys(BY_PEOPLE)
    rate = proportion(list(right.values()))
    return dict(zip(BY_PEOPLE, (rate.mean, rate.low, rate.high), strict=True))


def _bare(prompt: Prompt) -> Prompt:
    """A conversation of one user turn is that turn's text: files write the same prompt in both ways."""
    if not isinstance(prompt, str) and len(prompt) == 1 and prompt[0].role == "user":
        return prompt[0].content
    return prompt
