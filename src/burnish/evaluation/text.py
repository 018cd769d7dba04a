"""Figures of the answers' wording: do they vary, or has the model found one sentence that pleases?

All of them depend on how many answers there are, and the first on their length: compare models on the same prompts with
the same number of answers.
"""

from collections.abc import Sequence

from burnish.rewards import words as wording


def distinct_2(answers: Sequence[str]) -> float:
    """Distinct pairs of neighbouring words / all of them, over all answers (Li et al. 2016); 0 where there is none."""
    pairs = [pair for answer in answers for pair in wording.runs(wording.words(answer), 2)]
    return len(set(pairs)) / len(pairs) if pairs else 0.0


def unique_answers(answers: Sequence[str]) -> float:
    """Distinct answers / all answers, whatever their prompt. Case and spacing do not make an answer another one."""
    return len({tuple(wording.words(answer)) for answer in answers}) / len(answers) if answers else 0.0


def repetition(answers: Sequence[str]) -> float:
    """Mean share of an answer's runs of three words that already stood in it."""
    return sum(wording.repetition(wording.words(answer)) for answer in answers) / len(answers) if answers else 0.0


def answer_length(length_GK: Sequence[Sequence[int]]) -> float:
    """Mean number of tokens of an answer; 0 where there is none."""
    count = sum(map(len, length_GK))
    return sum(map(sum, length_GK)) / count if count else 0.0
