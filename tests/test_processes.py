"""What each process is given to compute."""

import pytest

from burnish import processes


@pytest.fixture
def of_three(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    for name, value in {"WORLD_SIZE": "3", "RANK": "0", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "1"}.items():
        monkeypatch.setenv(name, value)
    return monkeypatch


def test_parts_are_dealt_by_size_and_each_is_somebodys(of_three: pytest.MonkeyPatch):
    """9 to the first, 8 to the second, 5 and 4 to the third, which then has 9; 3 more to the second, who has least."""
    sizes = [3, 9, 4, 8, 5]
    shares = []
    for rank in range(3):
        of_three.setenv("RANK", str(rank))
        with processes.sharing():
            shares.append(processes.share_of(sizes))
    assert shares == [[1], [0, 3], [2, 4]]


def test_what_is_not_shared_is_computed_whole(of_three: pytest.MonkeyPatch):
    of_three.setenv("RANK", "2")
    assert processes.share_of([1, 2, 3]) == [0, 1, 2]
    assert (processes.count(), processes.leads()) == (1, True)
    with processes.sharing():
        assert (processes.count(), processes.leads()) == (3, False)


def test_without_torchrun_there_is_one():
    with processes.joined(), processes.sharing():
        assert (processes.count(), processes.rank(), processes.leads()) == (1, 0, True)
        assert processes.gathered({"a": 1}) == [{"a": 1}]
        assert processes.led(lambda: "done") == "done"


@pytest.mark.parametrize("text", ["soon", "0", "-1", "nan", "inf"])
def test_a_timeout_that_is_no_time_is_refused(text: str, of_three: pytest.MonkeyPatch):
    of_three.setenv(processes.TIMEOUT, text)
    with pytest.raises(processes.ConfigError, match="must be a number of seconds above 0"), processes.joined():
        pass
