"""Serve a store's page until a signal comes: the address, the links, the browser."""

import asyncio
import contextlib
import os
import re
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

import uvicorn
from starlette.types import ASGIApp

from burnish.errors import ConfigError, MissingInput, NotOurs
from burnish.feedback.live import Live
from burnish.feedback.page.guard import LOOPBACK
from burnish.feedback.page.handover import Handover
from burnish.feedback.page.reckoning import ModelFiles
from burnish.feedback.page.server import Page, application
from burnish.feedback.store import Store

PORT = 8765
TRIED = 20  # ports from the first one on, where none was asked for
CONNECTIONS = 512
HEADER_LIMIT = 16 * 1024
_HOST_NAME = re.compile(r"[\w.-]+|\[[0-9a-fA-F:.]+\]")
GRACE = 3  # seconds that open requests get when the server is told to stop


@dataclass(frozen=True, slots=True)
class Links:
    """Where the page is, and the one-time link of each annotator. `warning` is empty on loopback."""

    address: str
    links: dict[str, str]
    warning: str


def serve(
    store: Store,
    annotators: Sequence[str],
    *,
    leads: Sequence[str] = (),
    host: str = "127.0.0.1",
    port: int | None = None,
    allowed_hosts: Sequence[str] = (),
    guidelines: str = "",
    live: Live | None = None,
    reveal: bool = False,
    beside: ModelFiles | None = None,
    browser: bool = False,
    told: Callable[[Links], None],
    until: Callable[[], bool] | None = None,
) -> None:
    """Serve the page of `store` until SIGINT or SIGTERM, or until `until()`, which is asked every second, says so.

    What was acknowledged by then is saved. `live`: who answers what annotators type; its thread is the caller's to end.
    `reveal`: of what is given from now on, annotators are told what wrote each answer once they have ranked it.
    `beside`: a reward model's files, which a lead's statistics set beside people.
    `browser`: open a single link on this desktop too; of several none is known to be this desktop's own.

    `told` is called once, when requests are accepted, with a link for each annotator and each of `leads`. Without any
    there is one annotator, named after the user. Raises ConfigError where another host than loopback is to be served to
    nobody in particular, or an allowed host is no name, NotOurs where the port is taken.
    """
    local = host in LOOPBACK
    if not local and not annotators and not leads:
        raise ConfigError(
            f"--host {host}: other machines can reach this address, so say who may rank: --annotator NAME for each"
        )
    for name in allowed_hosts:
        if not _HOST_NAME.fullmatch(name):
            raise ConfigError(
                f"--allow-host {name}: must be the name alone, as browsers send it: no https://, no port, no *; "
                "rank.example.org, say"
            )
    with bound(host, port) as listening, Handover(store.path.parent) as handover:
        number = listening.getsockname()[1]
        shown = _own_name() if host in ("0.0.0.0", "::") else host  # noqa: S104
        address = f"http://{f'[{shown}]' if ':' in shown else shown}:{number}"
        hosts = [*LOOPBACK, "[::1]", *([] if local else [host, *_own_names()]), *allowed_hosts]
        names = [*annotators, *leads] or [_user()]
        links = {name: f"{address}/#t={store.invite(name, lead=name in leads)}" for name in names}
        warning = "" if local else _no_tls(address)

        def started() -> None:
            told(Links(address, links, warning))
            if browser and len(links) == 1:
                handover.open(*links.values())

        since = time.time() if reveal else None
        page = Page(store, guidelines, live, redeemed=handover.used, reveal_since=since, beside=beside)
        _Served(_config(application(page, hosts)), started, until).run(sockets=[listening])


def _config(app: ASGIApp) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        log_level="warning",
        access_log=False,
        server_header=False,
        proxy_headers=False,
        limit_concurrency=CONNECTIONS,
        h11_max_incomplete_event_size=HEADER_LIMIT,
        timeout_graceful_shutdown=GRACE,
        http="h11",
        ws="none",
        lifespan="off",
    )


class _Served(uvicorn.Server):
    """Stops at a signal without raising it again: to be stopped is how serving ends well."""

    def __init__(
        self, config: uvicorn.Config, started: Callable[[], None], until: Callable[[], bool] | None = None
    ) -> None:
        super().__init__(config)
        self._started = started
        self._until = until

    async def on_tick(self, counter: int) -> bool:
        """Called ten times a second; whether to stop."""
        stop = await super().on_tick(counter)
        if self._until is not None and not stop and counter % 10 == 0:
            return await asyncio.to_thread(self._until)  # it reads from the disk, and requests must not wait for that
        return stop

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._started()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = {number: signal.signal(number, self._stop) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _stop(self, number: int, _: FrameType | None) -> None:
        self.force_exit = self.should_exit and number == signal.SIGINT
        self.should_exit = True


@contextlib.contextmanager
def bound(host: str, port: int | None) -> Iterator[socket.socket]:
    """A socket that listens. Without a port it is `PORT`, or the next that is free.

    Raises NotOurs for a port that is taken, ConfigError for a host that is not this machine.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listening = socket.socket(family, socket.SOCK_STREAM)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # else a restart waits a minute for the old one
        for number in range(PORT, PORT + TRIED) if port is None else [port]:
            with contextlib.suppress(OSError):
                listening.bind((host, number))
                listening.listen(256)
                break
        else:
            _refuse(host, port)
        yield listening
    finally:
        listening.close()


def _refuse(host: str, port: int | None) -> None:
    """Say why nothing could be bound: the host, or the port."""
    try:
        with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM) as any_port:
            any_port.bind((host, 0))
    except OSError as error:
        raise ConfigError(f"--host {host}: is not an address of this machine ({error.strerror or error})") from None
    if port is None:
        raise NotOurs(f"ports {PORT} to {PORT + TRIED - 1} are all taken; choose another with --port")
    raise NotOurs(f"--port {port}: is taken or not allowed; choose another, or leave --port out")


def store_of(run: Path) -> Path:
    """The store of a run: the one SQLite file in its stages' folders.

    Raises MissingInput where there is none, ConfigError where there are several.
    """
    if not run.is_dir():
        raise MissingInput(f"--run {run}: no such folder")
    places = ("*", "*/*", "rounds/*/*", "*/rounds/*/*")  # a stage that picks in rounds has a store for each
    found = sorted(path for place in places for path in run.glob(place) if _is_store(path))
    if not found:
        raise MissingInput(f"--run {run}: no store of rankings in it or in its stages; name one with --store")
    if len(found) > 1:
        raise ConfigError(f"--run {run}: holds several stores, {', '.join(map(str, found))}; choose with --store")
    return found[0]


def _is_store(path: Path) -> bool:
    if path.suffix not in (".db", ".sqlite") or not path.is_file():
        return False
    with path.open("rb") as file:
        return file.read(16) == b"SQLite format 3\0"


def _no_tls(address: str) -> str:
    return (
        f"{address} has no TLS: whoever is on the way can read rankings and take over sessions. Better: keep to "
        "127.0.0.1 and forward it (ssh -L), or put a proxy with https before it and name it with --allow-host"
    )


def _user() -> str:
    for name in ("USER", "LOGNAME", "USERNAME"):
        if value := os.environ.get(name, "").strip():
            return value
    return "annotator"


def _own_name() -> str:
    return socket.gethostname().lower()


def _own_names() -> list[str]:
    """This machine's names and addresses, by which others reach it when it listens on all of them."""
    names = {_own_name(), socket.getfqdn().lower()}
    with contextlib.suppress(OSError):
        names |= {str(entry[4][0]) for entry in socket.getaddrinfo(socket.gethostname(), None)}
    return sorted(names)
