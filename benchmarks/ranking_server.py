"""The ranking server under load: 200 annotators at once, each submitting every two seconds, on 100,000 items.

    python benchmarks/ranking_server.py [--annotators 200] [--seconds 60] [--items 100000] [--cores 0,1]

Real processes and a real disk: `burnish rank import` fills the store, `burnish rank serve` serves it, and clients with
a session each ask for the next item, save a draft and submit. Printed: the import's time, how long the next item and a
submit take, the disk's own sync beside them, and whether what was acknowledged is in the store once. Client and server
share the cores. Limits (exit 1 beyond them): import 30 s, next item 50 ms on a quiet store, submit p99 150 ms.
"""

import argparse
import asyncio
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
import uuid
from collections import Counter
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import numpy as np

from burnish.feedback.database.assignment import Policy
from burnish.feedback.database.schema import connect
from burnish.feedback.store import Store

COMMAND = [sys.executable, "-m", "burnish"]
LIMITS = {"import_seconds": 30.0, "next_ms_p99": 50.0, "submit_ms_p99": 150.0}


class Client:
    """One annotator's browser: a connection that stays open, a cookie, a CSRF token."""

    def __init__(self, address: str, link: str) -> None:
        self.host, self.port = address.removeprefix("http://").rstrip("/").split(":")
        self.token = link.partition("#t=")[2]
        self.cookie = self.csrf = ""

    async def start(self) -> None:
        self.reader, self.writer = await asyncio.open_connection(self.host, int(self.port))
        answer = await self.post("session", {"token": self.token})
        self.csrf = answer["csrf"]

    async def post(self, name: str, value: object) -> dict:
        body = json.dumps(value).encode()
        origin = f"http://{self.host}:{self.port}"
        self.writer.write(
            f"POST /api/{name} HTTP/1.1\r\nHost: {self.host}:{self.port}\r\nOrigin: {origin}\r\n"
            f"Sec-Fetch-Site: same-origin\r\nContent-Type: application/json\r\nX-CSRF-Token: {self.csrf}\r\n"
            f"Cookie: {self.cookie}\r\nContent-Length: {len(body)}\r\n\r\n".encode()
            + body
        )
        head = (await self.reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        fields = dict(line.split(": ", 1) for line in head.split("\r\n")[1:] if ": " in line)
        answer = json.loads(await self.reader.readexactly(int(fields["content-length"])))
        if "set-cookie" in fields:
            self.cookie = fields["set-cookie"].partition(";")[0]
        if not head.startswith("HTTP/1.1 200"):
            raise SystemExit(f"/api/{name}: {head.splitlines()[0]}: {answer}")
        return answer


async def annotate(client: Client, start: float, end: float, every: float, took: dict, keys: list[str]) -> None:
    """Rank one item after another, a submit each `every` seconds, beginning at a time of one's own."""
    turn = start + random.random() * every
    while turn < end:
        await asyncio.sleep(max(0.0, turn - time.perf_counter()))
        began = time.perf_counter()
        item = (await client.post("next", {}))["item"]
        took["next"].append(time.perf_counter() - began)
        letters = "ABCDEFGHI"[: len(item["answers"])]
        await client.post("draft", {"assignment": item["id"], "draft": {"places": {"A": 1}}})
        given = {"assignment": item["id"], "key": str(uuid.uuid4()), "order": [[letter] for letter in letters]}
        began = time.perf_counter()
        await client.post("submit", given)
        took["submit"].append(time.perf_counter() - began)
        keys.append(given["key"])
        turn += every


async def load(address: str, links: Sequence[str], seconds: float, every: float) -> tuple[dict, list[str]]:
    clients = [Client(address, link) for link in links]
    for client in clients:  # one after another: signing in is not what is measured
        await client.start()
    took: dict[str, list[float]] = {"next": [], "submit": []}
    keys: list[str] = []
    start = time.perf_counter()
    await asyncio.gather(*(annotate(one, start, start + seconds, every, took, keys) for one in clients))
    return took, keys


# ---- what stands beside it


def write_answers(path: Path, count: int) -> None:
    """As many samples of four answers of some 60 words."""
    chance = random.Random(0)
    words = [f"word{index}" for index in range(500)]
    with path.open("w", encoding="utf-8") as file:
        for index in range(count):
            answers = [" ".join(chance.choices(words, k=60)) for _ in range(4)]
            row = {"prompt": f"{index} {' '.join(chance.choices(words, k=30))}", "answers": answers}
            file.write(json.dumps(row | {"model": "m", "seed": 0}) + "\n")


def syncs(folder: Path, count: int = 300) -> list[float]:
    """How long the disk takes to sync 8 KiB appended to a file."""
    took = []
    with (folder / "sync").open("ab") as file:
        for _ in range(count):
            file.write(b"x" * 8192)
            file.flush()
            began = time.perf_counter()
            os.fsync(file.fileno())
            took.append(time.perf_counter() - began)
    return took


def quiet_next(path: Path, count: int = 200) -> list[float]:
    """How long the next item takes in a store that nobody else uses, for annotators who each have not been here."""
    took = []
    with Store.open(path) as store:
        for index in range(count):
            who = store.redeem(store.invite(f"quiet-{index}")).annotator
            began = time.perf_counter()
            store.next_item(who)
            took.append(time.perf_counter() - began)
    return took


def spread(seconds: Sequence[float]) -> dict[str, float]:
    p50, p99 = np.percentile(np.array(seconds) * 1000, [50, 99])
    return {"p50": round(float(p50), 2), "p99": round(float(p99), 2), "max": round(max(seconds) * 1000, 2)}


def lost_doubled(path: Path, keys: Sequence[str]) -> dict[str, int]:
    with closing(connect(path)) as raw:
        kept = Counter(key for (key,) in raw.execute("SELECT key FROM ranking WHERE removed IS NULL"))
        (whole,) = raw.execute("PRAGMA integrity_check").fetchone()
    if whole != "ok":
        raise SystemExit(f"the store is damaged: {whole}")
    return {
        "acknowledged": len(keys),
        "lost": len(set(keys) - set(kept)),
        "doubled": sum(kept.values()) - len(set(keys)),
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--annotators", type=int, default=200)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--every", type=float, default=2, help="seconds between an annotator's submits")
    parser.add_argument("--items", type=int, default=100_000)
    parser.add_argument("--cores", default="0,1", help="cores that client and server share")
    given = parser.parse_args()
    os.sched_setaffinity(0, {int(core) for core in given.cores.split(",")})
    with tempfile.TemporaryDirectory(dir=".") as place:
        folder, store = Path(place), Path(place) / "rankings.db"
        write_answers(folder / "answers.jsonl", given.items)
        began, cpu = time.perf_counter(), os.times()
        subprocess.run(
            [*COMMAND, "rank", "import", folder / "answers.jsonl", "--store", store],
            stdout=subprocess.DEVNULL,
            check=True,
        )
        spent = os.times()
        figures: dict[str, object] = {
            "load_average": round(os.getloadavg()[0], 1),
            "import_seconds": round(time.perf_counter() - began, 1),
            "import_cpu_seconds": round(
                spent.children_user - cpu.children_user + spent.children_system - cpu.children_system, 1
            ),
            "sync_ms": spread(syncs(folder)),
            "next_ms": spread(quiet_next(store)),
        }
        with Store.open(store) as opened:
            opened.set_policy(Policy())
        names = [word for index in range(given.annotators) for word in ("--annotator", f"a{index}")]
        serve = [*COMMAND, "rank", "serve", "--store", store, "--no-open", "--json", *names]
        with subprocess.Popen(serve, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as server:
            try:
                told = json.loads(server.stdout.readline())
                took, keys = asyncio.run(
                    load(told["address"], list(told["links"].values()), given.seconds, given.every)
                )
            finally:
                server.send_signal(signal.SIGTERM)
        figures |= {"served_next_ms": spread(took["next"]), "submit_ms": spread(took["submit"])}
        figures |= lost_doubled(store, keys)
    print(json.dumps(figures, indent=1))
    reached = {
        "import_seconds": figures["import_seconds"],
        "next_ms_p99": figures["next_ms"]["p99"],
        "submit_ms_p99": figures["submit_ms"]["p99"],
    }
    over = [f"{name}: {reached[name]} > {limit}" for name, limit in LIMITS.items() if reached[name] > limit]
    over += [f"{name}: {figures[name]}" for name in ("lost", "doubled") if figures[name]]
    print("\n".join(over) or "within all limits", file=sys.stderr)
    return 1 if over else 0


if __name__ == "__main__":
    sys.exit(main())
