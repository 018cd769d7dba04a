"""Build the demo's data from the movie review files of Bo Pang and Lillian Lee, and the text for its base model.

    python scripts/demo_data.py SOURCES [--out src/burnish/assets/demo] [--pretraining models/demo-base-data]

SOURCES holds movie_sentences, movie_plots_and_quotes, movie_reviews and english_storybooks_text, each .jsonl.gz. The
same sources give the same bytes. The labelled sentences are split first (burnish.evaluation.splits); no sentence of a
judge or of the held-out part, and nothing that shares eight words in a row with one, goes into any other part.
"""

import argparse
import gzip
import html
import json
import re
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from burnish.evaluation.splits import demo_split, share

Row = dict[str, Any]

OVERLAP = 8  # words in a row that count as the same sentence
OPENING = (3, 4, 5, 6)  # words of a prompt
WORDS = (8, 40)  # of a sentence that becomes a demonstration or gives a prompt
LONGEST_SHOWN = 30  # words of a demonstration
REVIEWS_HELD_OUT = 0.02
DEMONSTRATIONS = 0.65  # share of the training part that SFT and pretraining see; the rest only gives prompts
PROMPTS, HELD_OUT = 1200, 500  # so many that the chain takes minutes, and a verdict's interval is ±0.04
STORIES = 0.5  # share of the chapters: more than this the demo's model has no time to read


def tidy(text: str) -> str:
    """One way of writing: lower-case ASCII, wrong encodings and entities mended, quotation marks set to their words."""
    text = html.unescape(html.unescape(text))
    text = re.sub(
        "[\u00c2\u00c3][\u0080-\u00bf]", lambda m: m.group().encode("latin-1").decode("utf-8", "ignore"), text
    )
    for old, new in {
        "\x91": "'",
        "\x92": "'",
        "\x93": '"',
        "\x94": '"',
        "\x96": "—",
        "\x97": "—",
        "`": "'",
        "_": "",
    }.items():
        text = text.replace(old, new)
    for old, new in {"‘": "'", "’": "'", "“": '"', "”": '"', "—": " - ", "–": "-", "…": "...", "*": ""}.items():
        text = text.replace(old, new)
    text = re.sub(r"\b([Mm]rs?|[Dd]r|[Ss]t)\.\n", r"\1. ", text)  # not the end of a sentence
    text = unicodedata.normalize("NFKD", text.lower())
    text = "".join(character for character in text if " " <= character <= "~" or character == "\n")
    # "an'urban comedy'" lost the space before its opening mark; "don't" and "o'donnell" did not
    text = re.sub(r"(\w\w)'(?!(?:s|t|re|ll|ve|d|m|em|n|clock|er)\b)(\w)", r"\1 '\2", text)
    lines = (_quotes(re.sub(r" +", " ", line)).strip() for line in text.split("\n"))
    return "\n".join(lines)


def _quotes(line: str) -> str:
    """Put every other mark to the word after it, the rest to the word before it; drop them all where one is alone."""
    pieces = re.split(r' ?" ?', line)
    if len(pieces) % 2 == 0:
        return " ".join(pieces)
    out = pieces[0]
    for index, piece in enumerate(pieces[1:], 1):
        inside = index % 2 == 1
        before = " " if inside and out and out[-1] not in "([-" else ""
        after = " " if not inside and piece and piece[0] not in ".,;:!?)]'-" else ""
        out += before + '"' + after + (piece.strip() if inside else piece)
    return out


def rows_of(path: Path) -> list[Row]:
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]


def runs(text: str) -> set[str]:
    """Every eight words in a row; of a shorter text, all its words."""
    words = re.findall(r"[a-z0-9']+", text)
    if len(words) < OVERLAP:
        return {" ".join(words)}
    return {" ".join(words[i : i + OVERLAP]) for i in range(len(words) - OVERLAP + 1)}


def unseen(texts: Iterable[str], taken: set[str]) -> Iterator[str]:
    """The texts that share no eight words in a row with what is taken."""
    return (text for text in texts if not runs(text) & taken)


def sentence(text: str) -> bool:
    """Long enough to be opened and continued, short enough for a quick demo, and made of words."""
    return WORDS[0] <= len(text.split()) <= WORDS[1] and not re.search(r"[#<>{}|@=\[\]$&/\n]", text)


def exemplary(text: str) -> bool:
    """A sentence worth imitating: one, with an end, no loose bracket or mark, not too long for a small model."""
    whole = re.search(r"[.!?]$", text) and not re.search(r"[.!?] |--|\.\.\.|;|\*", text)
    paired = text.count("(") == text.count(")") and text.count('"') % 2 == 0
    return bool(whole) and paired and sentence(text) and len(text.split()) <= LONGEST_SHOWN


def opened(text: str) -> tuple[str, str]:
    """A sentence as prompt and response. The space between them opens the response, as a byte-level BPE has it."""
    words = text.split(" ")
    count = OPENING[int(share(text, "opening") * len(OPENING))]
    return " ".join(words[:count]), " " + " ".join(words[count:])


def prompts_of(texts: Iterable[str]) -> list[Row]:
    """Distinct openings, in the order of their texts."""
    return [{"prompt": prompt} for prompt in dict.fromkeys(opened(text)[0] for text in texts)]


def ordered(texts: Iterable[str]) -> list[str]:
    """Each text once, in an order that tells nothing about it."""
    return sorted(set(texts), key=lambda text: (share(text, "order"), text))


def write(path: Path, rows: Sequence[Row]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    print(f"{path}: {len(rows)} rows, {path.stat().st_size:,} bytes")


def review_lines(review: str) -> list[str]:
    """Sentences of a review that stand on their own."""
    return [line for line in review.split("\n") if 5 <= len(line.split()) <= 60 and not re.search(r"[|{}@=<>\\]", line)]


def judged(label_of: dict[str, bool], texts: Iterable[str]) -> list[Row]:
    rows = []
    for text in texts:
        prompt, response = opened(text)
        rows.append({"prompt": prompt, "response": response, "label": label_of[text]})
    return rows


def split(label_of: dict[str, bool]) -> tuple[dict[str, list[str]], set[str]]:
    """The labelled sentences by part, and the runs of words that no training text may hold."""
    parts: dict[str, list[str]] = {"train": [], "judge_a": [], "judge_b": [], "heldout": []}
    for text in ordered(label_of):
        parts[demo_split(text)].append(text)
    taken: set[str] = set()
    for name in ("heldout", "judge_b", "judge_a", "train"):  # what the verdict rests on comes first, the rest gives way
        before = len(parts[name])
        parts[name] = list(unseen(parts[name], taken))
        print(f"{name}: {len(parts[name])} sentences, {before - len(parts[name])} left out as too like another part's")
        if name != "train":
            taken |= set().union(*map(runs, parts[name]))
    return parts, taken


def build(sources: Path, out: Path, pretraining: Path) -> None:
    labelled = [(tidy(row["text"]), row["label"] == "pos") for row in rows_of(sources / "movie_sentences.jsonl.gz")]
    label_of = dict(labelled)
    parts, taken = split(label_of)
    reviews = [tidy(row["text"]) for row in rows_of(sources / "movie_reviews.jsonl.gz")]
    held_reviews = [text for text in ordered(reviews) if share(text, "reviews") < REVIEWS_HELD_OUT]
    plain = rows_of(sources / "movie_plots_and_quotes.jsonl.gz")
    quotes = list(unseen(ordered(tidy(row["text"]) for row in plain if row["label"] == "quote"), taken))
    train = list(unseen(parts["train"], taken))
    asked = [text for text in ordered([*train, *quotes]) if share(text, "use") >= DEMONSTRATIONS]
    taken |= set().union(*map(runs, asked), *map(runs, held_reviews))
    read = ordered(unseen([*train, *quotes], taken))
    shown = list(filter(exemplary, read))
    write(out / "sft.jsonl", [{"prompt": prompt, "response": response} for prompt, response in map(opened, shown)])
    prompts = prompts_of(filter(sentence, asked))
    write(out / "prompts.jsonl", prompts[:PROMPTS])
    known = {opened(text)[0] for text in read} | {row["prompt"] for row in prompts}
    heldout = [row for row in prompts_of(filter(sentence, parts["heldout"])) if row["prompt"] not in known]
    write(out / "heldout.jsonl", heldout[:HELD_OUT])
    wanted = {row["prompt"] for row in heldout[:HELD_OUT]}
    ended = map(opened, filter(sentence, parts["heldout"]))
    write(out / "heldout_people.jsonl", [{"prompt": p, "response": r} for p, r in ended if p in wanted])
    write(out / "judge_a.jsonl", judged(label_of, parts["judge_a"]))
    write(out / "judge_b.jsonl", judged(label_of, parts["judge_b"]))
    write(out / "heldout_labels.jsonl", judged(label_of, parts["heldout"]))
    held_lines = [line for review in held_reviews for line in review_lines(review)]
    write(out / "heldout_text.jsonl", [{"text": line} for line in held_lines[:400]])

    held = set(held_reviews)
    reviews = [
        "\n".join(unseen(filter(None, text.split("\n")), taken)) for text in ordered(reviews) if text not in held
    ]
    plots = list(unseen(ordered(tidy(row["text"]) for row in plain if row["label"] == "plot"), taken))
    stories = rows_of(sources / "english_storybooks_text.jsonl.gz")
    pretraining_texts = {
        "stories": [tidy(row["text"]) for row in stories if share(row["text"], "stories") < STORIES],
        "reviews": reviews,
        "review_sentences": ordered(line for text in reviews for line in review_lines(text)),
        "plots": plots,
        "sentences": read,
        "heldout_sentences": parts["heldout"],
    }
    for name, texts in pretraining_texts.items():
        write(pretraining / f"{name}.jsonl", [{"text": text} for text in texts])


if __name__ == "__main__":
    root = Path(__file__).resolve().parent.parent
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("sources", type=Path)
    parser.add_argument("--out", type=Path, default=root / "src/burnish/assets/demo")
    parser.add_argument("--pretraining", type=Path, default=root / "models/demo-base-data")
    given = parser.parse_args()
    build(given.sources, given.out, given.pretraining)
