"""Who answers on a live page where no model is wanted."""

import threading
from collections.abc import Generator, Sequence

from burnish.errors import ConfigError
from burnish.types import Answer, Group, Prompt


class Parrot:
    """Says the prompt back, each answer with its number, once it is let go."""

    answers, turns = 3, True

    def __init__(self) -> None:
        self.goes = threading.Event()
        self.goes.set()

    def write(self, prompt: Prompt, id: str) -> Generator[Sequence[str], None, Group]:  # noqa: A002
        text = prompt if isinstance(prompt, str) else prompt[-1].content
        if text == "too much":
            raise ConfigError("the model /secret/path has 8 positions")
        if text == "a fault":
            raise RuntimeError("/secret/path broke")
        yield [f"{text[:1]}" for _ in range(3)]
        while not self.goes.wait(0.01):
            yield [f"{text[:1]}" for _ in range(3)]
        numbered = [f"{text}{'' if text == 'alike' else number}" for number in range(3)]
        return Group(prompt, tuple(Answer(said, source="parrot") for said in numbered), extra={"seed": 7})
