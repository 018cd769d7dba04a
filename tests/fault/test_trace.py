"""What the kernel is asked for, in which order: bytes, fsync, the name, fsync of the folder, and only then a prune."""

import re
import shutil
import subprocess
from multiprocessing.connection import Connection
from pathlib import Path

import pytest
import torch
from forks import FORKS

from burnish.training.checkpoint import save_checkpoint

STRACE = shutil.which("strace")
CALLS = "write,pwrite64,fsync,rename,renameat,renameat2,unlink,unlinkat,rmdir"


def _saving(folder: str, go: Connection) -> None:
    torch.set_num_threads(1)
    go.recv()
    shards = {"model": {"w": torch.arange(40.0)}, "critic": {"w": torch.arange(90.0)}}
    for step in (2, 4, 6):
        save_checkpoint(Path(folder), step, shards, {})


def traced(folder: Path, log: Path) -> list[tuple[str, str]]:
    """(call, what it was about) of three saves, in order; a rename is about both names."""
    go, theirs = FORKS.Pipe()
    process = FORKS.Process(target=_saving, args=(str(folder), theirs), daemon=True)
    process.start()
    tracer = subprocess.Popen(
        [str(STRACE), "-ff", "-y", "-s", "0", "-e", f"trace={CALLS}", "-o", str(log), "-p", str(process.pid)],
        stderr=subprocess.PIPE,
        text=True,
    )
    assert tracer.stderr is not None
    said = tracer.stderr.readline()
    if "attached" not in said:
        process.kill()
        pytest.skip(f"no process can be traced here: {said.strip()}")
    go.send(None)
    process.join(60)
    tracer.wait(10)
    tracer.stderr.close()
    assert process.exitcode == 0
    calls = []
    # a file a thread: in one for all, a call that another thread's cuts in two stands on two lines
    for line in log.with_name(f"{log.name}.{process.pid}").read_text().splitlines():
        if found := re.match(r"(\w+)\((.*)\) += 0$|(p?write\w*)\((.*)\) += \d+$", line):
            call, about = found[1] or found[3], found[2] or found[4]
            paths = re.findall(rf"{re.escape(str(folder))}[^>\"]*", about)
            if paths:
                calls.append((call, " → ".join(path.removeprefix(f"{folder}/") or "." for path in paths)))
    return [(call, re.sub(r"-[0-9a-f]{8}", "", about).replace(str(folder), ".")) for call, about in calls]


@pytest.mark.skipif(STRACE is None, reason="no strace on this machine; on Debian: apt install strace")
def test_a_checkpoint_has_its_name_only_once_all_of_it_is_on_the_disk(tmp_path: Path):
    folder = tmp_path / "checkpoints"
    calls = traced(folder, tmp_path / "log")
    of_the_last = [(call, about) for call, about in calls if "step-000006" in about or about == "."]
    order = [f"{call} {about}" for call, about in of_the_last]
    aside = ".tmp-step-000006"
    committed = next(at for at, one in enumerate(order) if one.endswith(f"{aside} → step-000006"))
    for name in ("model.safetensors", "critic.safetensors"):
        moved = next(at for at, one in enumerate(order) if one.endswith(f"→ {aside}/{name}"))  # safetensors' own
        written = max(at for at, one in enumerate(order) if one == f"write {order[moved].split()[1]}")
        assert written < moved < order.index(f"fsync {aside}/{name}") < committed
    named = next(at for at, one in enumerate(order) if one.endswith(f"→ {aside}/manifest.json"))
    assert order.index(f"fsync {aside}/.tmp-manifest.json") < named
    assert named < max(at for at, one in enumerate(order) if one == f"fsync {aside}") < committed
    assert max(at for at, one in enumerate(order) if one == "fsync .") > committed

    whole = [f"{call} {about}" for call, about in calls]
    pruned = next(at for at, one in enumerate(whole) if one.endswith("step-000002 → .trash-step-000002"))
    synced = max(at for at, one in enumerate(whole) if one == "fsync .")
    assert whole.index(order[committed]) < synced < pruned
    assert all(at > pruned for at, one in enumerate(whole) if one.startswith("unlink") and "step-000002" in one)
    assert not [one for one in order[:committed] if re.match(r"p?write\d* step-000006", one)]
