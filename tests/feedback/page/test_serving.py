"""Where the server listens (13 of the checklist of threats), how it starts and how it ends."""

import signal
import socket
import subprocess
import sys
from pathlib import Path

import psutil
import pytest
from feedback.served import Served, Visitor, ranked
from feedback.stores import an_item, key

from burnish.cli.main import main
from burnish.feedback.store import Store

RUN = "import sys; from burnish.cli.main import main; sys.exit(main())"
EVERYWHERE = "0.0.0.0"  # noqa: S104  what the option is for


# ---- where it listens


def test_it_listens_on_loopback_only(served: Served):
    listening = [c for c in psutil.Process(served.process.pid).net_connections("inet") if c.status == "LISTEN"]
    assert [c.laddr.ip for c in listening] == ["127.0.0.1"]


@pytest.mark.skipif(not psutil.LINUX, reason="other systems may not show what a process has loaded")
def test_it_starts_without_torch(tmp_path: Path):
    """As a shell starts it: other tests' servers are forks of a process that has torch."""
    Store.create(tmp_path / "s.db").close()
    command = ["rank", "serve", "--store", str(tmp_path / "s.db"), "--annotator", "ann", "--no-open"]
    with subprocess.Popen([sys.executable, "-c", RUN, *command], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert b"http" in process.stdout.readline()
        loaded = {Path(mapped.path).name for mapped in psutil.Process(process.pid).memory_maps()}
        process.terminate()
    assert any("sqlite" in name for name in loaded)
    assert not [name for name in loaded if "torch" in name]


def test_another_host_needs_named_annotators(served: Served, capsys: pytest.CaptureFixture[str]):
    assert main(["rank", "serve", "--store", str(served.store), "--host", EVERYWHERE, "--no-open"]) == 78
    assert "--annotator NAME" in capsys.readouterr().err


def test_another_host_is_served_with_a_warning_about_tls(tmp_path: Path):
    Store.create(tmp_path / "s.db").close()
    server = Served(tmp_path / "s.db", "ann", options=("--host", EVERYWHERE, "--allow-host", "rank.example"))
    try:
        assert server.port is not None
        visitor = Visitor(server.port)
        assert visitor.get("/", {"Host": "rank.example"})[0] == 200
        assert visitor.get("/", {"Host": "evil.example"})[0] == 400
    finally:
        assert server.stop() == 0
    assert "has no TLS" in server.errors


@pytest.mark.parametrize("name", ["*", "a*b", "https://rank.example", "rank.example:443", ""])
def test_a_further_host_is_one_name(served: Served, name: str, capsys: pytest.CaptureFixture[str]):
    """`*` would let every name in; the others would match none, or fail at each request."""
    assert main(["rank", "serve", "--store", str(served.store), "--no-open", "--allow-host", name]) == 78
    assert f"--allow-host {name}: must be the name alone" in capsys.readouterr().err


def test_a_taken_port_is_named(served: Served, capsys: pytest.CaptureFixture[str]):
    assert main(["rank", "serve", "--store", str(served.store), "--port", str(served.port)]) == 73
    assert f"--port {served.port}: is taken" in capsys.readouterr().err


# ---- how it ends


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_it_well_and_the_session_outlives_it(tmp_path: Path, number: signal.Signals):
    with Store.create(tmp_path / "s.db") as store:
        store.add_items([an_item("one")])
    server = Served(tmp_path / "s.db", "ann")
    visitor = server.visitor("ann")
    item = visitor.next()
    visitor.post("/api/submit", ranked(item, key()))
    assert server.stop(number) == 0
    assert "holds 1 rankings by people" in server.errors
    server.start()
    assert visitor.get("/api/me")[1]["progress"]["rankings"] == 1
    assert server.stop() == 0


def test_the_store_of_a_run_is_found(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    run = tmp_path / "runs/demo"
    (run / "ranking").mkdir(parents=True)
    assert main(["rank", "serve", "--run", str(run)]) == 66
    assert "no store of rankings" in capsys.readouterr().err
    Store.create(run / "ranking/rankings.db").close()
    (run / "ranking/metrics.jsonl").write_text("{}\n")
    from burnish.feedback.page.serving import store_of

    assert store_of(run) == run / "ranking/rankings.db"
    Store.create(run / "other.db").close()
    assert main(["rank", "serve", "--run", str(run)]) == 78
    assert main(["rank", "serve"]) == 64


def test_the_other_loopback_is_served_too(tmp_path: Path):
    Store.create(tmp_path / "s.db").close()
    server = Served(tmp_path / "s.db", "ann", options=("--host", "::1"))
    try:
        assert server.address == f"http://[::1]:{server.port}"
        with socket.create_connection(("::1", server.port or 0), timeout=10) as connection:
            connection.sendall(f"GET / HTTP/1.1\r\nHost: [::1]:{server.port}\r\n\r\n".encode())
            assert connection.recv(1000).startswith(b"HTTP/1.1 200 ")
    finally:
        server.stop()
