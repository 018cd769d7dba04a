"""What most tests train: a tiny model on disk."""

import os
from pathlib import Path

os.environ.setdefault("HF_HUB_OFFLINE", "1")  # before transformers is imported: no test reaches for the network

import fuzz
import pytest
import torch
from tiny import byte_tokenizer, tiny_llama

torch.set_num_threads(1)  # fixtures of a module come before the fixture below


@pytest.fixture(autouse=True)
def one_thread() -> None:
    """These models are so small that a second thread only waits; a command that ran before may have set it."""
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory that holds a two-layer Llama with a byte tokenizer. Read it, never write it."""
    folder = tmp_path_factory.mktemp("models") / "tiny"
    tiny_llama().save_pretrained(folder)
    byte_tokenizer().save_pretrained(folder)
    return folder


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """In `make test-fuzz`: how much was fuzzed, and the worst of it."""
    if fuzz.TIMES > 1 and fuzz.TRIED.examples:
        terminalreporter.section("fuzzed")
        terminalreporter.write_line("\n".join(fuzz.TRIED.lines()))
