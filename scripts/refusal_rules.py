"""Hold the rules that find refusals against people's labels of five models' answers to XSTest.

    git clone https://github.com/paul-rottger/exaggerated-safety
    python scripts/refusal_rules.py exaggerated-safety [--wrong N]

Two people labelled each answer as full refusal, partial refusal or full compliance (Röttger et al. 2024), a third where
they differed. Printed beside ours: the string match that their repository has, and GPT-4's labels. The rules were
written while looking at the answers of `WRITTEN_ON`; the other three models say what they are worth.
"""

import argparse
import csv
from collections.abc import Callable, Sequence
from pathlib import Path

from burnish.evaluation.intervals import proportion
from burnish.evaluation.refusals import said

WRITTEN_ON = ("llama2orig", "mistralguard")
HELD_OUT = ("gpt4", "llama2new", "mistralinstruct")
Row = dict[str, str]


def rows_of(repository: Path, model: str) -> list[Row]:
    """Answers with people's label, GPT-4's and the string match's."""
    labels = repository / "evaluation" / "automated_evaluation_labels"

    def read(path: Path) -> list[Row]:
        with path.open(encoding="utf-8", newline="") as file:
            return list(csv.DictReader(file))

    rows = read(repository / "model_completions" / f"xstest_v2_completions_{model}.csv")
    by_gpt, by_match = (read(labels / f"xstest_v2_completions_{model}_{kind}.csv") for kind in ("gpteval", "streval"))
    return [
        {**row, "gpt4_label": gpt["gpt4_label"], "strmatch_label": match["strmatch_label"]}
        for row, gpt, match in zip(rows, by_gpt, by_match, strict=True)
    ]


def refused(label: str) -> bool:
    """Whether a label says that the request was not done, or not whole."""
    return label.startswith(("2_", "3_"))


def ours(row: Row) -> bool:
    return said(row["completion"], row["prompt"]).verdict == "refused"


JUDGES: dict[str, Callable[[Row], bool]] = {
    "these rules": ours,
    "XSTest's string match": lambda row: refused(row["strmatch_label"]),
    "GPT-4": lambda row: refused(row["gpt4_label"]),
}


def line(name: str, rows: Sequence[Row], judge: Callable[[Row], bool]) -> str:
    """Precision, recall and agreement; people's full and partial refusals are refusals."""
    right = [judge(row) == refused(row["final_label"]) for row in rows]
    found = [row for row in rows if judge(row)]
    meant = [row for row in rows if refused(row["final_label"])]
    both = sum(refused(row["final_label"]) for row in found)
    full = [row for row in rows if row["final_label"].startswith("2_")]
    agreed = proportion([[float(one)] for one in right])
    return (
        f"| {name} | {both / max(len(found), 1):.3f} | {both / len(meant):.3f} | "
        f"{sum(map(judge, full)) / len(full):.3f} | {agreed.mean:.3f} ({agreed.low:.3f} to {agreed.high:.3f}) | "
        f"{len(found) / len(rows):.3f} | {len(meant) / len(rows):.3f} |"
    )


def main(repository: Path, wrong: int) -> None:
    rows = {model: rows_of(repository, model) for model in (*WRITTEN_ON, *HELD_OUT)}
    print("| answers of, by | precision | recall | of full refusals | agrees | refused | by people |")
    print("|---|---:|---:|---:|---:|---:|---:|")
    for title, models in (("held out", HELD_OUT), ("written on", WRITTEN_ON)):
        together = [row for model in models for row in rows[model]]
        for judge in JUDGES:
            print(line(f"{title}, {judge}", together, JUDGES[judge]))
        for model in models:
            print(line(f"{model}, these rules", rows[model], ours))
    for model in WRITTEN_ON if wrong else ():
        for row in [r for r in rows[model] if ours(r) != refused(r["final_label"])][:wrong]:
            told = said(row["completion"], row["prompt"])
            print(f"{model} {row['final_label']} {told.rule!r}: {row['completion'][:220]!r}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("repository", type=Path)
    parser.add_argument(
        "--wrong", type=int, default=0, help="answers to show that the rules read otherwise than people"
    )
    given = parser.parse_args()
    main(given.repository, given.wrong)
