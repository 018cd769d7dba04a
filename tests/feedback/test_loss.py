"""Killed at any instant, written by two at once, on a full or read-only disk: what was acknowledged is there once."""

import os
import shutil
import sqlite3
import subprocess
import sys
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from pathlib import Path

import pytest
from feedback.stores import a_store, an_item, as_shown, key, someone

from burnish.errors import DataError, WriteFailed
from burnish.feedback.database.assignment import Policy
from burnish.feedback.database.schema import connect
from burnish.feedback.database.writer import Writer
from burnish.feedback.records import Given
from burnish.feedback.store import Store

WORKER = Path(__file__).with_name("worker.py")
PLACES = os.environ | {  # the tests' own path before whatever this process was given
    "PYTHONPATH": os.pathsep.join(filter(None, [str(WORKER.parents[1]), os.environ.get("PYTHONPATH")]))
}


def worker(*words: object, prefix: tuple[str, ...] = ()) -> "subprocess.Popen[str]":
    command = [*prefix, sys.executable, str(WORKER), *map(str, words)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=PLACES)


def whole(path: Path) -> None:
    with closing(sqlite3.connect(path)) as raw:
        assert raw.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        assert raw.execute("PRAGMA foreign_key_check").fetchall() == []


# ---- killed


@pytest.mark.parametrize("after", [1, 7, 40])
def test_two_processes_killed_while_they_submit_lose_and_double_nothing(tmp_path, after):
    """Each prints a key after its submit returned. Both are killed without a warning; the keys are all there, once."""
    path = tmp_path / "s.db"
    with a_store(path, items=2000) as store:
        store.set_policy(Policy(overlap=0, gold=0, repeats=0))
    with ExitStack() as stack:
        processes = [stack.enter_context(worker("rank", path, name)) for name in ("ann", "bob")]
        acknowledged = [[process.stdout.readline() for _ in range(after)] for process in processes]
        for process in processes:
            process.kill()
        for first, process in zip(acknowledged, processes, strict=True):
            first += process.stdout.readlines()
    keys = [line.strip() for lines in acknowledged for line in lines if line.endswith("\n")]
    whole(path)
    with Store.open(path) as store:
        with closing(sqlite3.connect(path)) as raw:
            kept = [saved for (saved,) in raw.execute("SELECT key FROM ranking")]
        assert len(keys) >= 2 * after
        assert set(keys) <= set(kept)
        assert len(kept) == len(set(kept)) <= len(keys) + 2  # at most one each was saved and not yet acknowledged
        assert set(Counter(ranking.item for ranking in store.rankings()).values()) == {1}
        ann = someone(store, "ann")
        store.submit(ann, store.next_item(ann).id, as_shown(), key())  # and it goes on


@pytest.mark.parametrize("until", ["items", "rankings"])
def test_an_import_that_was_killed_is_run_again_and_doubles_nothing(tmp_path, until):
    path, count = tmp_path / "s.db", 4000
    table = {"items": "item", "rankings": "ranking"}[until]
    with worker("import", path, count) as process:
        while not _rows(path, table):
            assert process.poll() is None
            time.sleep(0.005)
        process.kill()
    whole(path)
    partly = _rows(path, table)
    assert 0 < partly < count, "the kill came too late to prove anything"
    with worker("import", path, count) as process:
        assert process.stdout.read().split() == ["items", "rankings"]
    assert (_rows(path, "item"), _rows(path, "ranking")) == (count, count)


def _rows(path: Path, table: str) -> int:
    if not path.exists():
        return 0
    with closing(sqlite3.connect(path)) as raw:
        try:
            return int(raw.execute(f"SELECT count(*) FROM {table}").fetchone()[0])  # noqa: S608
        except sqlite3.OperationalError:  # the tables are not made yet
            return 0


# ---- at once


def test_two_imports_at_once_into_a_store_that_is_not_there_make_one(tmp_path):
    path = tmp_path / "s.db"
    with worker("import", path, 1500) as one, worker("import", path, 1500) as other:
        assert one.stdout.read().split() == other.stdout.read().split() == ["items", "rankings"]
    whole(path)
    assert (_rows(path, "item"), _rows(path, "ranking")) == (1500, 1500)


def test_many_threads_share_one_commit_and_each_gets_its_own_answer(tmp_path):
    with a_store(tmp_path / "s.db", items=400) as store:
        store.set_policy(Policy(overlap=0, gold=0, repeats=0))
        people = [someone(store, f"p{index}") for index in range(20)]

        def work(who):
            saved = 0
            for _ in range(10):
                assignment = store.next_item(who)
                store.submit(who, assignment.id, as_shown(), key())
                saved += 1
            return saved

        with ThreadPoolExecutor(20) as pool:
            assert sum(pool.map(work, people)) == 200
        rankings = list(store.rankings())
        assert len({ranking.item for ranking in rankings}) == len(rankings) == 200
        assert set(Counter(ranking.annotator for ranking in rankings).values()) == {10}


def test_a_double_click_from_two_threads_saves_once(store):
    ann, one = someone(store), key()
    assignment = store.next_item(ann)
    start = threading.Barrier(8)

    def click(_):
        start.wait()
        return store.submit(ann, assignment.id, as_shown(), one)

    with ThreadPoolExecutor(8) as pool:
        assert len(set(pool.map(click, range(8)))) == 1
    assert len(list(store.rankings())) == 1


def test_a_job_that_fails_takes_nothing_down_with_it(tmp_path):
    """Three jobs wait while the writer is held up, so they share a transaction; the middle one raises."""
    path = tmp_path / "s.db"
    a_store(path).close()
    writer, held = Writer(path), threading.Event()
    first = writer.submit(lambda c: held.wait(10))
    setting = "INSERT INTO setting VALUES (?, '')"

    def fails(connection):
        connection.execute(setting, ("bad",))
        raise DataError("no")

    good = writer.submit(lambda c: c.execute(setting, ("one",)).rowcount)
    bad = writer.submit(fails)
    also = writer.submit(lambda c: c.execute(setting, ("two",)).rowcount)
    held.set()
    assert (first.result(), good.result(), also.result()) == (True, 1, 1)
    with pytest.raises(DataError, match="no"):
        bad.result()
    writer.close()
    reader = connect(path)
    assert {name for (name,) in reader.execute("SELECT name FROM setting")} >= {"one", "two"}
    assert reader.execute("SELECT count(*) FROM setting WHERE name = 'bad'").fetchone() == (0,)
    reader.close()
    with pytest.raises(WriteFailed, match="the store is closed"):
        writer.submit(lambda c: None)


def test_a_store_that_another_process_holds_too_long_says_so(tmp_path, monkeypatch):
    path = tmp_path / "s.db"
    a_store(path, items=1).close()
    monkeypatch.setattr("burnish.feedback.database.schema.BUSY_SECONDS", 0.1)
    with Store.open(path) as store, closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(WriteFailed, match=r"another process has held it .*; try again, nothing was lost"):
            store.invite("ann")
        other.execute("ROLLBACK")
        assert store.invite("ann")


@pytest.mark.parametrize("harm", ["cut in half", "a page of something else"])
def test_a_store_that_is_damaged_is_refused_and_says_how_to_save_what_is_left(tmp_path, harm):
    path = tmp_path / "s.db"
    a_store(path, items=200).close()
    content = bytearray(path.read_bytes())
    if harm == "cut in half":
        del content[len(content) // 2 :]
    else:
        content[8 * 4096 : 9 * 4096] = b"x" * 4096
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"s\.db: damaged \(.*\); put a copy back, or .*: sqlite3 .*s\.db \.recover"):
        Store.open(path)
    assert path.read_bytes() == content


def test_rankings_from_elsewhere_are_taken_in_once(store):
    given = [
        Given("item-1", ((0,), (1, 2)), annotator="7"),
        Given("item-1", ((0,), (1, 2)), annotator="7"),  # two votes of people without a name may be the same
        Given("item-1", ((0,), (1, 2)), annotator="judge", layer="judge"),
    ]
    assert store.add_rankings(given) == {"added": 3, "known": 0}
    assert store.add_rankings(given) == {"added": 0, "known": 3}
    assert [(one.layer, one.kind) for one in store.rankings()] == [
        ("imported", "imported"),
        ("imported", "imported"),
        ("judge", "uniform"),
    ]
    with pytest.raises(DataError, match="no item nowhere in this store"):
        store.add_rankings([Given("nowhere", ((0,), (1,)))])


# ---- a full disk, a disk that may not be written

IN_A_NAMESPACE = ("unshare", "--map-root-user", "--mount", "sh", "-ec")
CAN_MOUNT = (
    shutil.which("unshare") is not None
    and subprocess.run([*IN_A_NAMESPACE, "mount -t tmpfs none /mnt"], capture_output=True, check=False).returncode == 0
)


@pytest.mark.skipif(not CAN_MOUNT, reason="no disk of a chosen size can be mounted here")
def test_a_full_disk_refuses_what_it_cannot_keep_and_goes_on_when_there_is_room(tmp_path):
    script = f'mount -t tmpfs -o size=16m none {tmp_path}; exec "$@"'
    with worker("fill", tmp_path, prefix=(*IN_A_NAMESPACE, script, "sh")) as process:
        told = process.stdout.read().splitlines()
    assert process.returncode == 0
    refused, saved = told
    assert "s.db: the disk is full, so this was not saved; free some space and try again" in refused
    assert 0 < int(refused.split()[1]) < 250
    assert saved == "saved 250 standing 250"  # every submit that returned stands, and no other


@pytest.mark.skipif(not CAN_MOUNT, reason="no disk can be mounted here")
def test_a_read_only_disk_is_told_as_such(tmp_path):
    with a_store(tmp_path / "s.db", items=1) as store:
        store.add_items([an_item("more")])
    script = f'mount --bind {tmp_path} {tmp_path}; mount -o remount,bind,ro {tmp_path}; exec "$@"'
    code = "import sys; from burnish.cli.main import main; sys.exit(main(sys.argv[1:]))"
    command = [*IN_A_NAMESPACE, script, "sh", sys.executable, "-c", code]
    words = ["rank", "invite", "--store", str(tmp_path / "s.db"), "ann"]
    done = subprocess.run([*command, *words], capture_output=True, text=True, env=PLACES, check=False)
    assert done.returncode == 74
    assert "s.db: cannot be opened" in done.stderr
    assert "it must be a file in a folder that may be written" in done.stderr
