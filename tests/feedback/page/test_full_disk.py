"""A server whose disk is full says that nothing was saved, and saves what it is sent again once there is room."""

import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from fault.disks import mounted
from feedback.served import Served, ranked
from feedback.stores import a_store

from burnish.feedback.store import Store


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    with mounted(tmp_path, "size=4m"):
        yield tmp_path


def test_a_full_disk_is_told_with_507_and_what_was_sent_is_saved_once_there_is_room(small_disk: Path):
    store = small_disk / "rankings.db"
    a_store(store, items=20).close()
    served = Served(store, "ann")
    try:
        ann = served.visitor("ann")
        item = ann.next()
        ballast = small_disk / "ballast"
        with pytest.raises(OSError, match="No space left"):
            ballast.write_bytes(b"x" * (4 << 20))
        sent = ranked(item, str(uuid.uuid4()))
        answers = [ann.post("/api/submit", {**sent, "seconds": second}) for second in range(3)]
        assert {status for status, _, _ in answers} == {507}
        assert answers[0][1]["error"] == "full"
        assert "not saved" in answers[0][1]["message"]
        assert "Your ranking is still in this page" in answers[0][1]["message"]
        ballast.unlink()
        assert ann.post("/api/submit", sent)[0] == 200
    finally:
        served.stop()
    with Store.open(store) as opened:
        assert len(list(opened.rankings())) == 1
