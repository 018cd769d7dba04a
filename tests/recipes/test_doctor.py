"""What `burnish doctor` says of a machine and a model: what is there, and what of it would be slow or unsafe."""

import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch

from burnish.cli.main import main
from burnish.recipes import doctor, machine
from burnish.recipes.doctor import a_model, cores, gigaflops, outdated, slow, this_machine, unsafe

QUICK = {"cores": 2, "threads": 2, "device": "cpu", "gigaflops": {"float32": 10.0, "bfloat16": 12.0}}


@pytest.fixture
def folder(tiny_model: Path, tmp_path: Path) -> Path:
    """A copy of the tiny model, to put things into."""
    return Path(shutil.copytree(tiny_model, tmp_path / "model"))


def told(**other: Any) -> list[str]:
    """What is slow of a machine that differs so from one that is not."""
    return [line for line in slow(QUICK | other) if "processes want" not in line and "NVIDIA" not in line]


def test_a_machine_is_told_with_its_speed():
    found = this_machine()
    assert found["threads"] == torch.get_num_threads()
    assert found["memory_gb"] > 0
    assert found["disk_free_gb"] > 0
    assert found["cores"] == cores() <= (os.cpu_count() or 0)
    assert json.loads(json.dumps(found)) == found


def test_the_speed_is_that_of_a_matrix_product():
    """A product of 64 × 64 takes far longer a sum than one of 256 × 256 could, and neither is for nothing."""
    assert gigaflops("cpu", "float32", size=256, seconds=0.02) > gigaflops("cpu", "float64", size=2, seconds=0.02) > 0


def test_a_quick_machine_has_nothing_told():
    assert told() == []


def test_threads_that_do_not_fit_the_cores_are_told():
    assert told(threads=4) == ["4 threads on 2 cores wait for each other; --threads 2"]
    assert told(cores=16) == ["2 of 16 cores compute; --threads 16, without OMP_NUM_THREADS"]
    assert told(cores=16, device="cuda") == [], "the device computes"


def test_a_precision_that_costs_more_than_it_saves_is_told():
    slower = {"float32": 10.0, "bfloat16": 4.0}
    assert told(gigaflops=slower) == ["bfloat16 is multiplied at 0.40 of float32's speed; leave dtype at auto"]


def test_files_that_everybody_may_write_are_told():
    before = os.umask(0o000)
    try:
        assert "umask 0000: others may change what is written here; umask 022" in unsafe()
        assert os.umask(0o077) == 0o000, "and the umask was left as it was"
        assert not [line for line in unsafe() if "umask" in line]
    finally:
        os.umask(before)


def test_a_token_that_others_can_read_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_TOKEN_PATH", str(tmp_path / "token"))
    token = tmp_path / "token"
    token.write_text("secret")
    token.chmod(0o644)
    assert f"{token}: the hub's token can be read by others; chmod 600 {token}" in unsafe()
    token.chmod(0o600)
    assert not [line for line in unsafe() if "token" in line]


def test_libraries_are_those_that_burnish_was_made_for(monkeypatch: pytest.MonkeyPatch):
    from importlib import metadata

    assert outdated() == {}
    there = metadata.version
    monkeypatch.setattr("importlib.metadata.version", lambda name: "3.1.0" if name == "Jinja2" else there(name))
    assert outdated() == {"Jinja2 3.1.0": "Jinja2>=3.1.6"}, "whose sandbox let a template out"


def test_a_model_is_told_with_its_path_and_template(folder: Path):
    (folder / "chat_template.jinja").write_text("{% for m in messages %}[{{ m.role }}] {{ m.content }}{% endfor %}")
    found = a_model(str(folder))
    assert (found["path"], found["template"]) == ("packed", "chat")
    assert found["template_around"] == "[user] {user}"
    assert len(found["template_hash"]) == 32
    assert (found["slow"], found["unsafe"]) == ([], [])
    (folder / "chat_template.jinja").write_text("{% for m in messages %}<{{ m.role }}> {{ m.content }}{% endfor %}")
    assert a_model(str(folder))["template_hash"] != found["template_hash"]


def test_what_would_run_where_a_model_is_loaded_otherwise_is_told(folder: Path):
    (folder / "optimizer.pt").write_bytes(b"")
    (folder / "modeling_own.py").write_text("raise SystemExit('ran')")
    assert a_model(str(folder))["unsafe"] == [
        "optimizer.pt: pickle, which may run code where others load it; remove it",
        "modeling_own.py: code of the model's own, which is never run here; remove it",
    ]


def test_a_model_that_memory_cannot_train_is_told(folder: Path, monkeypatch: pytest.MonkeyPatch):
    weights = a_model(str(folder))["weights"]
    monkeypatch.setattr(machine, "available_memory", lambda: weights * machine.TRAINED - 1)
    (line,) = a_model(str(folder))["slow"]
    assert "to train all weights takes about" in line
    assert "lora: {rank: 16}" in line


def test_the_command_prints_a_line_for_each_note(folder: Path, capsys: pytest.CaptureFixture[str]):
    (folder / "optimizer.pt").write_bytes(b"")
    assert main(["doctor", str(folder)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[-2:] == ["slow: nothing found", f"unsafe: {doctor.a_model(str(folder))['unsafe'][0]}"]
