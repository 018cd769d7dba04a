"""SIGKILL at random times, the same command again until it ends, and what came out beside an unbroken run.

python tests/fault/random_kills.py [KILLS [NAME ...]]    20 of each by default, written into docs/reliability.md

A quarter of a training command's kills come inside of a save: faults hold each save open for a moment, and the killer
waits for the folder that only a save has. All others come after U(0, T), T being what an unbroken run takes from its
first step to its end. The ranking server is killed amid the submits of six annotators at once.
"""

import os
import shutil
import sqlite3
import sys
import tempfile
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

ROOT = Path(__file__).parents[2]
if str(ROOT / "tests") not in sys.path:
    sys.path.insert(0, str(ROOT / "tests"))

from fault.typed import lay_out, make_scorer, results, words  # noqa: E402
from feedback.served import Served, ranked  # noqa: E402
from feedback.stores import a_store  # noqa: E402
from forks import Command  # noqa: E402
from tiny import byte_tokenizer, tiny_llama  # noqa: E402

from burnish.errors import CheckpointError  # noqa: E402
from burnish.feedback.database.assignment import Policy  # noqa: E402
from burnish.feedback.store import Store  # noqa: E402
from burnish.training.checkpoint import newest_checkpoint  # noqa: E402

PAGE = ROOT / "docs" / "reliability.md"
BEGIN, END = "<!-- random kills: make test-faults -->\n", "<!-- end of random kills -->\n"
HELD = "sleep:0.03@ckpt.write, sleep:0.03@ckpt.before_rename, sleep:0.03@ckpt.after_rename, sleep:0.02@ckpt.prune"
TRAINED = ("sft", "reward", "dpo", "ppo", "reject", "recipe")
NAMES = (*TRAINED, "rank serve")
ANNOTATORS = ("ann", "bo", "cy", "di", "el", "fa")
ITEMS = 600


@dataclass(frozen=True)
class Twin:
    """An unbroken run: what it left, and how long it took from its first step to its end."""

    results: dict[str, Any]
    seconds: float


@dataclass(frozen=True)
class Outcome:
    """One kill. `lost`: what differs from the twin, or is not there; empty where all survived."""

    name: str
    in_save: bool
    lost: str


def begun(out: Path) -> bool:
    """Whether a first step is recorded."""
    return any(metrics.stat().st_size for metrics in out.rglob("metrics.jsonl"))


def saving(out: Path) -> bool:
    return any(out.rglob("checkpoints/.tmp-step-*")) or any(out.rglob("checkpoints/.trash-step-*"))


def waited_for(command: Command, there: Callable[[], bool]) -> bool:
    """Whether it came to pass before the command ended."""
    while not there():
        if not command.running():
            return there()
        time.sleep(0.001)
    return True


def twin_of(name: str) -> Twin:
    """What a command leaves in the current folder when nobody disturbs it."""
    out = Path("twins") / name
    command = Command(*words(name, str(out)))
    waited_for(command, lambda: begun(out))
    began = time.monotonic()
    command.process.join()
    seconds = time.monotonic() - began
    code, told = command.end()
    assert code == 0, told
    return Twin(results(out), seconds)


def kill(name: str, twin: Twin, chance: Random, *, in_save: bool) -> Outcome:
    """Start a command, kill it, type it again until it ends, and hold what it left against its twin."""
    out = Path("killed") / uuid.uuid4().hex[:8] / "run"
    out.parent.mkdir(parents=True)
    for _ in range(20):
        environment = {**os.environ, "BURNISH_FAULT": HELD} if in_save else dict(os.environ)
        command = Command(*words(name, str(out)), environment=environment)
        reached = waited_for(command, lambda: begun(out))
        if in_save:
            for _ in range(chance.randint(1, 3)):  # which save it is
                reached = waited_for(command, lambda: saving(out)) and waited_for(command, lambda: not saving(out))
            reached = reached and waited_for(command, lambda: saving(out))
        time.sleep(chance.uniform(0, 0.1 if in_save else 0.9 * twin.seconds))
        running = reached and command.running()
        command.kill()
        if running:
            break
        shutil.rmtree(out)  # it was done before it could be killed
    else:
        raise AssertionError(f"{name}: 20 times it was done before it could be killed")
    lost = _no_whole_checkpoint(out)
    if not lost:
        code, told = Command(*words(name, str(out))).end(1200)
        lost = f"ended with {code}: {told}" if code else differences(results(out), twin.results)
    shutil.rmtree(out.parent)
    return Outcome(name, in_save, lost)


def _no_whole_checkpoint(out: Path) -> str:
    """Where something was saved and nothing of it is whole: a sentence; else nothing."""
    for folder in out.rglob("checkpoints"):
        try:
            found, troubles = newest_checkpoint(folder)
        except CheckpointError as error:
            return str(error)
        if troubles or (found is None and any(folder.glob("step-*"))):
            return f"{folder}: {troubles or 'nothing is whole'}"
    return ""


def differences(found: dict[str, Any], wanted: dict[str, Any]) -> str:
    return ", ".join(sorted(key for key in found.keys() | wanted.keys() if found.get(key) != wanted.get(key)))


# ---- people's rankings


def kill_server(chance: Random) -> Outcome:
    """Six annotators submit as fast as they may; what was answered as saved before the kill must be in the store."""
    store = Path(f"served-{uuid.uuid4().hex[:8]}.db")
    with a_store(store, items=ITEMS) as made:
        made.set_policy(Policy(overlap=0, gold=0, repeats=0))
    served = Served(store, *ANNOTATORS)
    visitors = [served.visitor(name) for name in ANNOTATORS]
    saved: list[str] = []
    with _submitting(visitors, saved):
        while len(saved) < len(ANNOTATORS):
            time.sleep(0.001)
        time.sleep(chance.uniform(0, 0.4))
        served.process.kill()
    with Store.open(store) as opened:
        items = [ranking.item for ranking in opened.rankings()]
    lost = _missing(store, saved)
    if not lost and len(items) != len(set(items)):
        lost = "an item is ranked twice"
    served.start()  # and it goes on, in the sessions that were open
    again: list[str] = []
    with _submitting(visitors, again):
        until = time.monotonic() + 20
        while not again and time.monotonic() < until:
            time.sleep(0.005)
        served.stop()
    return Outcome("rank serve", False, lost or ("" if again else "it does not go on") or _missing(store, again))


@contextmanager
def _submitting(visitors: list[Any], saved: list[str]) -> Iterator[None]:
    """Within, each visitor ranks what comes; `saved` gets the key of each ranking that was answered as saved."""
    stop = threading.Event()

    def rank(visitor: Any) -> None:
        while not stop.is_set():
            try:
                status, body, _ = visitor.post("/api/next")
                if status != 200:
                    time.sleep(0.05)
                    continue
                key = str(uuid.uuid4())
                status, _, _ = visitor.post("/api/submit", ranked(body["item"], key))
            except (OSError, ValueError, EOFError):  # the server is gone
                return
            except Exception as error:  # http.client's own, for an answer that was cut
                if type(error).__module__ != "http.client":
                    raise
                return
            if status == 200:
                saved.append(key)

    threads = [threading.Thread(target=rank, args=(visitor,)) for visitor in visitors]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        stop.set()
        for thread in threads:
            thread.join()


def _missing(store: Path, keys: list[str]) -> str:
    with closing(sqlite3.connect(store)) as raw:
        whole = raw.execute("PRAGMA integrity_check").fetchone()[0]
        kept = {key for (key,) in raw.execute("SELECT key FROM ranking WHERE removed IS NULL")}
    missing = [key for key in keys if key not in kept]
    told = f"{len(missing)} of {len(keys)} rankings that were told as saved" if missing else ""
    return told or ("" if whole == "ok" else f"integrity_check: {whole}")


# ---- the catalogue


def prepare(folder: Path) -> None:
    """Lay out in `folder`, which is then the current one, what every command reads."""
    tiny_llama().save_pretrained(folder / "model")
    byte_tokenizer().save_pretrained(folder / "model")
    lay_out(folder)
    os.chdir(folder)
    make_scorer()


def outcomes(name: str, kills: int, seed: int = 0) -> list[Outcome]:
    """So many kills of one command, every fourth in a save."""
    twin = twin_of(name) if name in TRAINED else None
    found: list[Outcome] = []
    for number in range(kills):
        chance = Random(f"{name} {seed} {number}")
        found.append(kill_server(chance) if twin is None else kill(name, twin, chance, in_save=number % 4 == 3))
        print(f"{name}: {number + 1} of {kills}, {found[-1].lost or 'survived'}", file=sys.stderr, flush=True)
    return found


def main() -> int:
    kills = int(sys.argv[1]) if len(sys.argv) > 1 else 20
    names = sys.argv[2:] or list(NAMES)
    rows, lost = [], []
    with tempfile.TemporaryDirectory() as folder:
        back = os.getcwd()
        prepare(Path(folder))
        for name in names:
            began = time.perf_counter()
            found = outcomes(name, kills)
            bad = [one for one in found if one.lost]
            lost += [f"{name}: {one.lost}" for one in bad]
            in_save = sum(one.in_save for one in found)
            rows.append(f"| {name} | {len(found)} | {in_save} | {len(found) - len(bad)} | {len(bad)} |")
            print(f"{rows[-1]}  {time.perf_counter() - began:.0f} s", flush=True)
        os.chdir(back)
    total = f"| together | {len(names) * kills} | | {len(names) * kills - len(lost)} | {len(lost)} |"
    table = "\n".join(["| killed | kills | in a save | survived | lost |", "|---|---|---|---|---|", *rows, total])
    if not sys.argv[2:]:
        text = PAGE.read_text(encoding="utf-8")
        before, after = text.split(BEGIN)[0], text.split(END)[1]
        PAGE.write_text(f"{before}{BEGIN}\n{table}\n\n{END}{after}", encoding="utf-8")
    print("\n".join(lost) or "nothing is lost")
    return 1 if lost else 0


if __name__ == "__main__":
    sys.exit(main())
