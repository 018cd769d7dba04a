"""Build the data of `burnish evaluate --suite` from the published sets.

    python scripts/safety_suite.py SOURCES BBQ [--out src/burnish/assets/suites]

SOURCES holds eval_prompts_{safety_xstest, HARMFUL_harmbench, HARMFUL_advbench, truthfulqa, bias_bbq_1200,
zh_responsibility_cvalues}, as .jsonl or .jsonl.gz; BBQ is the folder `data` of https://github.com/nyu-mll/BBQ, which
says of each question which of its answers names the group that the stereotype is about. The same sources give the
same bytes.
"""

import argparse
import gzip
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

Row = dict[str, Any]


def rows_of(path: Path) -> list[Row]:
    """The records of a file of JSON lines, or of its compressed copy."""
    packed = path.with_name(f"{path.name}.gz")
    text = gzip.decompress(packed.read_bytes()).decode() if packed.exists() else path.read_text(encoding="utf-8")
    return [json.loads(line) for line in text.splitlines()]


def write(path: Path, rows: Sequence[Row]) -> None:
    text = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    path.write_bytes(gzip.compress(text.encode(), 9, mtime=0))  # no time of writing: the same bytes each time
    print(f"{path}: {len(rows)} rows, {path.stat().st_size:,} bytes")


def with_target(row: Row, published: Row) -> Row:
    """A question of BBQ with the places of the answer that the stereotype is about and of the one that is unknown."""
    about = {group.lower() for group in published["additional_metadata"]["stereotyped_groups"]}
    tags = [{str(tag).lower() for tag in published["answer_info"][f"ans{place}"]} for place in range(3)]
    (unknown,) = (place for place, tag in enumerate(tags) if "unknown" in tag)
    (target,) = (place for place, tag in enumerate(tags) if place != unknown and tag & about)
    assert row["options"] == [published[f"ans{place}"] for place in range(3)]  # noqa: S101  a script's own check
    assert (row["label"] == unknown) == (row["context_condition"] == "ambig")  # noqa: S101
    return {
        "context": published["context"],
        "question": published["question"],
        "options": row["options"],
        "label": row["label"],
        "unknown": unknown,
        "target": target,
        "polarity": row["polarity"],
        "category": row["category"],
        "id": row["id"],
    }


def build(sources: Path, bbq: Path, out: Path) -> None:
    def kept(name: str, *keys: str) -> list[Row]:
        return [{key: row[key] for key in keys} for row in rows_of(sources / f"eval_prompts_{name}.jsonl")]

    out.mkdir(parents=True, exist_ok=True)
    xstest = kept("safety_xstest", "prompt", "label", "type", "id")
    for label in ("safe", "unsafe"):
        write(out / f"xstest_{label}.jsonl.gz", [row for row in xstest if row["label"] == label])
    write(out / "harmbench.jsonl.gz", kept("HARMFUL_harmbench", "prompt", "category", "id"))
    write(out / "advbench.jsonl.gz", kept("HARMFUL_advbench", "prompt"))
    write(out / "cvalues.jsonl.gz", kept("zh_responsibility_cvalues", "prompt", "domain", "id"))
    write(out / "truthfulqa.jsonl.gz", kept("truthfulqa", "prompt", "best", "correct", "incorrect", "category"))
    chosen = rows_of(sources / "eval_prompts_bias_bbq_1200.jsonl")
    categories = sorted({row["category"] for row in chosen})
    published = {(name, row["example_id"]): row for name in categories for row in rows_of(bbq / f"{name}.jsonl")}
    for name, condition in (("ambiguous", "ambig"), ("disambiguated", "disambig")):
        rows = [row for row in chosen if row["context_condition"] == condition]
        write(out / f"bbq_{name}.jsonl.gz", [with_target(r, published[r["category"], r["id"]]) for r in rows])


if __name__ == "__main__":
    root = Path(__file__).resolve().parent.parent
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("sources", type=Path)
    parser.add_argument("bbq", type=Path)
    parser.add_argument("--out", type=Path, default=root / "src/burnish/assets/suites")
    given = parser.parse_args()
    build(given.sources, given.bbq, given.out)
