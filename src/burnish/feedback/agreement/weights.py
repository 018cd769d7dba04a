"""What each ranking weighs in the reward model's loss, by the reliability of who made it."""

from collections.abc import Sequence

from burnish.errors import ConfigError
from burnish.feedback.agreement.reliability import reliability
from burnish.feedback.agreement.verdicts import annotator, verdicts_of_groups
from burnish.types import Group


def annotator_weights(groups: Sequence[Group], smoothing: float = 1.0) -> list[float]:
    """A weight for each group: its annotator's, as `Reliability.weight` defines it; their mean over verdicts is 1.

    `extra["annotator"]` names who ranked a group, as rows of `burnish rank export` and files of votes do. Groups with
    one prompt and the same answers are one item. An annotator of whom nothing is known, because nobody else ranked what
    they ranked, weighs 1, and so does a group without an annotator.

    Raises ConfigError where no two annotators ranked the same item: nothing then tells them apart.
    """
    weights = {name: one.weight for name, one in reliability(verdicts_of_groups(groups), smoothing).items()}
    if not weights:
        named = len({annotator(group) for group in groups} - {None})
        raise ConfigError(
            f"annotators cannot be weighed: no two of them ranked the same answers ({named} annotators are named in "
            f"{len(groups)} rankings); collect overlap, or leave annotator_weight out"
        )
    return [weights.get(annotator(group) or "", 1.0) for group in groups]
