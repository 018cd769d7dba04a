"""Try every kind of bad input and write its message into docs/reliability.md.

python tests/bad_inputs/record.py
"""

import os
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

os.environ.setdefault("HF_HUB_OFFLINE", "1")
sys.path.insert(0, str(Path(__file__).parents[1]))

from bad_inputs import files, judges, models, recipes, rows
from bad_inputs.kinds import entry, told
from tiny import byte_tokenizer, tiny_llama

PAGE = Path(__file__).parents[2] / "docs/reliability.md"
BEGIN, END = "<!-- messages: python tests/bad_inputs/record.py -->\n", "<!-- end of messages -->\n"
PARTS = {
    "Files of records": files.SECTIONS,
    "Rows": rows.SECTIONS,
    "Recipes and commands": recipes.SECTIONS,
    "Models": models.SECTIONS,
    "Judges": judges.SECTIONS,
}
KINDS = [kind for sections in PARTS.values() for section in sections.values() for kind in section]


def heading() -> str:
    """What stands above the messages."""
    refused = sum(kind.code != 0 for kind in KINDS)
    return f"{len(KINDS)} kinds are tried, {refused} of them refused. The number behind each is the exit code.\n"


def page_part(model: Path, work: Path) -> Iterator[str]:
    yield heading()
    for part, sections in PARTS.items():
        yield f"\n### {part}\n"
        for title, kinds in sections.items():
            yield f"\n**{title}**\n\n```text\n"
            for kind in kinds:
                place = Path(tempfile.mkdtemp(dir=work))
                yield entry(kind, told(kind, place, model))
            yield "```\n"


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        model = Path(folder) / "tiny"
        tiny_llama().save_pretrained(model)
        byte_tokenizer().save_pretrained(model)
        messages = "".join(page_part(model, Path(folder)))
    page = PAGE.read_text(encoding="utf-8")
    before, after = page.split(BEGIN)[0], page.split(END)[1]
    PAGE.write_text(f"{before}{BEGIN}{messages}{END}{after}", encoding="utf-8")


if __name__ == "__main__":
    main()
