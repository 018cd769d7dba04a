"""A process that works on a store until it is killed or done. It prints each thing once that is acknowledged.

python worker.py rank STORE NAME       submit whatever comes; a line a submit: the key
python worker.py import STORE COUNT    items and a ranking of each
python worker.py fill FOLDER           submit until the disk is full, make room, submit once more
"""

import shutil
import sys
from pathlib import Path

from feedback.stores import an_item, as_shown, key, someone

from burnish.errors import WriteFailed
from burnish.feedback.database.assignment import Policy
from burnish.feedback.records import Given
from burnish.feedback.store import Store


def say(*words: object) -> None:
    print(*words, flush=True)


def rank(store: Store, name: str) -> None:
    who = someone(store, name)
    while (assignment := store.next_item(who)) is not None:
        store.save_draft(who, assignment.id, {"half": "done"})
        one = key()
        store.submit(who, assignment.id, as_shown(), one)
        say(one)


def bring(store: Store, count: int) -> None:
    store.add_items(an_item(f"item-{index}") for index in range(count))
    say("items")
    store.add_rankings(Given(f"item-{index}", ((0,), (1, 2)), annotator="a") for index in range(count))
    say("rankings")


def fill(folder: Path) -> None:
    with Store.create(folder / "s.db") as store:
        store.add_items(an_item(f"item-{index}") for index in range(300))
        store.set_policy(Policy(overlap=0, gold=0, repeats=0))
        who = someone(store)
        ballast = folder / "ballast"
        ballast.write_bytes(b"x" * (shutil.disk_usage(folder).free - (200 << 10)))
        saved = 0
        while saved < 250:
            try:
                assignment = store.next_item(who)
                store.submit(who, assignment.id, as_shown(), key())
                saved += 1
            except WriteFailed as error:
                say("refused", saved, error)
                ballast.unlink()  # the second time it is gone, and that is a fault
        say("saved", saved, "standing", len(list(store.rankings())))


if __name__ == "__main__":
    job, where, *rest = sys.argv[1:]
    if job == "fill":
        fill(Path(where))
    else:
        with Store.at(where) as opened:
            rank(opened, rest[0]) if job == "rank" else bring(opened, int(rest[0]))
