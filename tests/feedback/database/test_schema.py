"""The file itself: what cannot be rewritten even by whoever opens it with SQLite, and stores of older versions."""

import sqlite3
from contextlib import closing

import pytest
from feedback.stores import a_store, an_item, as_shown, key, someone

from burnish.errors import DataError
from burnish.feedback.database.contents import packed
from burnish.feedback.database.schema import APPLICATION_ID, MIGRATIONS, VERSION
from burnish.feedback.records import Given
from burnish.feedback.store import Store

CHANGED = {
    "ranking": 99, "key": "another", "layer": "imported", "item": 2, "annotator": None, "assignment": None,
    "places": "[[0, 1, 2]]", "acceptable": 3, "confidence": 1, "seconds": 0.5, "flags": '[["unsafe"], [], []]',
    "mode": "pick", "comparisons": '[[0, 1, "<"]]', "extra": "{}", "saved": 1.0,
}  # fmt: skip
"""Each column of a ranking, with what somebody would like it to say."""


@pytest.fixture
def ranked(store):
    """The file of a store with one ranking that stands and one that was taken back."""
    ann = someone(store)
    store.submit(ann, store.next_item(ann).id, as_shown(), key())
    store.undo(ann)
    store.submit(ann, store.next_item(ann).id, as_shown(acceptable=1, confidence=3, seconds=40.0, client_ms=5), key())
    entry = list(store.audit())[-1]
    assert (entry["what"], entry["annotator"], entry["client_ms"]) == ("submit", ann.alias, 5)
    return store.path


def refused(path, statement, *values):
    """SQLite says no, and every row is as it was."""
    with closing(sqlite3.connect(path, isolation_level=None)) as raw:
        tables = "SELECT * FROM ranking", "SELECT * FROM audit"
        before = [raw.execute(table).fetchall() for table in tables]
        with pytest.raises(sqlite3.IntegrityError, match=r"only grows|never"):
            raw.execute(statement, values)
        assert [raw.execute(table).fetchall() for table in tables] == before


@pytest.mark.parametrize("column", CHANGED)
def test_no_column_of_a_saved_ranking_can_be_rewritten(ranked, column):
    refused(ranked, f"UPDATE ranking SET {column} = ?", CHANGED[column])  # noqa: S608  of the list above


def test_every_column_is_tried(ranked):
    with closing(sqlite3.connect(ranked)) as raw:
        columns = {name for _, name, *_ in raw.execute("PRAGMA table_info(ranking)")}
    assert columns == {*CHANGED, "removed"}


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE ranking SET removed = NULL WHERE removed IS NOT NULL",
        "UPDATE ranking SET removed = 5 WHERE removed IS NOT NULL",
        "DELETE FROM ranking",
        "INSERT OR REPLACE INTO ranking SELECT 77, 'k', layer, item, annotator, assignment, '[[0, 1, 2]]', acceptable, "
        "confidence, seconds, flags, mode, comparisons, extra, saved, NULL FROM ranking WHERE removed IS NULL",
        "UPDATE audit SET what = 'nothing'",
        "DELETE FROM audit",
        "INSERT OR REPLACE INTO audit SELECT * FROM audit",
    ],
)
def test_nothing_that_was_done_can_be_undone_or_put_in_its_place(ranked, statement):
    refused(ranked, statement)


@pytest.mark.parametrize("places", ["places", "'[[0, 1, 2]]'"])
def test_what_comes_under_a_known_key_is_passed_over(ranked, places):
    columns = "layer, item, annotator, flags, mode, comparisons, extra, saved"
    with closing(sqlite3.connect(ranked, isolation_level=None)) as raw:
        before = raw.execute("SELECT * FROM ranking").fetchall()
        raw.execute(
            f"INSERT OR REPLACE INTO ranking (key, places, {columns}) "  # noqa: S608  of the list above
            f"SELECT key, {places}, {columns} FROM ranking"
        )
        assert raw.execute("SELECT * FROM ranking").fetchall() == before


def test_a_store_of_version_1_keeps_all_it_has_and_takes_what_came_later(tmp_path):
    path = tmp_path / "old.db"
    with closing(sqlite3.connect(path)) as raw:
        for statement in MIGRATIONS[0]:
            raw.execute(statement)
        raw.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        raw.execute("PRAGMA user_version = 1")
        item = an_item("one")
        raw.execute(
            "INSERT INTO item (item, id, hash, prompt, task, answers, state, place, added) "
            "VALUES (1, 'one', x'00', 'p', 'rank', 3, 'fresh', 1, 0)"
        )
        raw.execute("INSERT INTO content VALUES (1, ?)", (packed(item.group),))
        raw.execute("INSERT INTO annotator VALUES (1, 'people', 'ann', 'a1', 0, NULL, 0, 0)")
        raw.execute(
            "INSERT INTO ranking VALUES (1, 'k', 'people', 1, 1, NULL, '[[2], [0, 1]]', 1, 2, 9.0, '[[], [], []]', "
            "'place', '[]', '{\"sent\": {}}', 5.0, NULL)"
        )
        raw.commit()
    with Store.open(path) as store:
        (kept,) = store.rankings()
        assert (kept.place_K, kept.acceptable, kept.annotator) == ((1, 1, 0), 1, "a1")
        ann = someone(store)
        assert ann.number == 1
        store.submit(ann, store.next_item(ann).id, as_shown(), key())
        counts = store.counts()
        for task in ("pair", "person"):
            assert store.add_items([an_item(task, 2, task=task)]) == {"added": 1, "known": 0}
        assert store.counts() == counts | {"items": 3, "fresh": counts["fresh"] + 2}  # the triggers count on
        with pytest.raises(DataError, match="no item"):
            store.add_rankings([Given("other", ((0,), (1,)))])
    with closing(sqlite3.connect(path)) as raw:
        assert raw.execute("PRAGMA foreign_key_check").fetchall() == []
        assert raw.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        assert raw.execute("PRAGMA user_version").fetchone() == (VERSION,)
    refused(path, "UPDATE ranking SET confidence = 1 WHERE ranking = 1")
    a_store(tmp_path / "new.db").close()
    with closing(sqlite3.connect(path)) as old, closing(sqlite3.connect(tmp_path / "new.db")) as new:
        tables = "SELECT type, name, sql FROM sqlite_schema ORDER BY name"
        assert old.execute(tables).fetchall() == new.execute(tables).fetchall()
