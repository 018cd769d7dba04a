"""A local language model that answers with one of few replies: the probability that it gives to each.

A question is the prompt of a token tree and each reply a branch, so a question is computed once. The model's own chat
template asks; a model without one reads the question as a text that goes on with "Reply:".
"""

import sys
from collections.abc import Sequence
from dataclasses import dataclass

import torch

from burnish.batch.trees import choice_tree
from burnish.data.templates import Template, resolve
from burnish.errors import DataError
from burnish.models.model import Policy
from burnish.types import Message, Tree

SELDOM = 0.5


@dataclass(frozen=True, slots=True)
class LanguageModel:
    """Answers a judge's questions with `policy`, some `budget` tokens at once."""

    policy: Policy
    template: str = "auto"
    budget: int = 2048

    def __call__(self, questions: Sequence[str], replies: Sequence[str], about: Sequence[str]) -> list[list[float]]:
        """log P of each reply after each question. Raises DataError for a question longer than the model reads.

        Tells on stderr where the model would mostly say something else than any of them.
        """
        template = resolve(self.policy.tokenizer, self.template)
        rows = [self._tree(question, replies, template, index) for index, question in enumerate(questions)]
        self._check_length(rows, about)
        table = self.policy.frozen_logprobs(rows, self.budget)
        found = [[float(table[row, reply].double().sum()) for reply in range(len(replies))] for row in range(len(rows))]
        if rows:
            mass = float(torch.tensor(found, dtype=torch.float64).exp().sum(1).mean())
            if mass < SELDOM:
                print(
                    f"warning: {self.policy.source} gives the replies that are asked for ({', '.join(replies)}) "
                    f"{mass:.0%} of its probability; a judge that follows instructions gives nearly all",
                    file=sys.stderr,
                )
        return found

    @staticmethod
    def _tree(question: str, replies: Sequence[str], template: Template, index: int) -> Tree:
        if template.source is None:
            tokens = template.prompt_tokens(f"{question}\n\nReply:")
            replies = [f" {reply}" for reply in replies]
        else:
            tokens = template.prompt_tokens((Message("user", question),))
        return choice_tree(tokens, replies, template, group=index)

    def _check_length(self, rows: Sequence[Tree], about: Sequence[str]) -> None:
        most = getattr(self.policy.model.config.get_text_config(), "max_position_embeddings", None)
        if most is None:
            return
        for row, name in zip(rows, about, strict=True):
            longest = len(row.prompt) + max(len(branch.tokens) for branch in row.branches)
            if longest > most:
                raise DataError(
                    f"{self.policy.source}: the question about {name} has {longest} tokens and the model reads {most}; "
                    "leave long answers out, shorten the rubric, or take another judge"
                )
