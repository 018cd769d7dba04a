"""What each ranking weighs in the reward model's loss, by the reliability of who made it."""

from collections.abc import Sequence

from burnish.errors import ConfigError
from burnish.feedback.agreement.reliability import reliability
from burnish.feedback.agreement.verdicts import Verdicts, verdicts_of
from burnish.types import Group


def annotator_weights(groups: Sequence[Group], smoothing: float = 1.0) -> list[float]:
    """A weight for each group: its annotator's, as `Reliability.weight` defines it; their mean over verdicts is 1.

    `extra["annotator"]` names who ranked a group, as rows of `burnish rank export` and files of votes do. Groups with
    one prompt and the same answers are one item. An annotator of whom nothing is known, because nobody else ranked what
    they ranked, weighs 1, and so does a group without an annotator.

    Raises ConfigError where no two annotators ranked the same item: nothing then tells them apart.
    """
    weights = {name: one.weight for name, one in reliability(_table(groups), smoothing).items()}
    if not weights:
        named = len({_annotator(group) for group in groups} - {None})
        raise ConfigError(
            f"annotators cannot be weighed: no two of them ranked the same answers ({named} annotators are named in "
            f"{len(groups)} rankings); collect overlap, or leave annotator_weight out"
        )
    return [weights.get(_annotator(group) or "", 1.0) for group in groups]


def _annotator(group: Group) -> str | None:
    name = group.extra.get("annotator")
    return None if name is None else str(name)


def _table(groups: Sequence[Group]) -> Verdicts:
    """The first ranking of each item by each annotator. Items are known by what they ask and their answers."""
    places: dict[tuple[object, tuple[str, ...]], dict[str, tuple[int, ...]]] = {}
    for group in groups:
        name = _annotator(group)
        if name is None or group.order is None:
            continue
        asked = group.prompt if isinstance(group.prompt, str) else tuple((m.role, m.content) for m in group.prompt)
        texts = tuple(answer.text for answer in group.answers)
        order = sorted(range(len(texts)), key=texts.__getitem__)  # the answers may stand in another order elsewhere
        place = {index: place for place, tied in enumerate(group.order) for index in tied}
        item = places.setdefault((asked, tuple(texts[index] for index in order)), {})
        item.setdefault(name, tuple(place[index] for index in order))
    return verdicts_of({str(number): (str(number), 1.0, given) for number, given in enumerate(places.values())})
