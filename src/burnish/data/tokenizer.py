"""Load a tokenizer alone, for looking at data without its model."""

from pathlib import Path
from typing import TYPE_CHECKING

from burnish.data.problems import listed, printable
from burnish.errors import MissingInput

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

_FILES = ("tokenizer.json", "tokenizer.model", "vocab.json", "vocab.txt", "spiece.model")


def load_tokenizer(path: str | Path) -> "PreTrainedTokenizerBase":
    """The tokenizer of a model's folder or hub id. Code that comes with it is never run. Raises MissingInput."""
    from transformers import AutoTokenizer

    folder = Path(path)
    if folder.is_dir() and not any((folder / name).is_file() for name in _FILES):
        held = listed(sorted(entry.name for entry in folder.iterdir())) or "nothing"
        raise MissingInput(f"{printable(str(path))}: no tokenizer; found {held}; wanted one of {', '.join(_FILES)}")
    try:
        loaded: PreTrainedTokenizerBase = AutoTokenizer.from_pretrained(path, trust_remote_code=False)
    except Exception as error:  # the tokenizers library raises bare Exception for a file that is damaged
        raise MissingInput(
            f"{printable(str(path))}: its tokenizer cannot be loaded ({type(error).__name__}: "
            f"{printable(str(error), 300)}); name a model's folder, or a hub id that is reachable or in the cache"
        ) from None
    return loaded
