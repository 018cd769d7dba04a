"""Whatever is wrong is told in one message: where, what was found, what to do; and docs/reliability.md has them all."""

from collections import Counter
from pathlib import Path

import pytest
import torch
from bad_inputs.kinds import Kind, entry, told
from bad_inputs.record import KINDS, PAGE, heading

ONE_SCREEN = 24


@pytest.mark.parametrize("kind", KINDS, ids=[kind.what.replace(" ", "_") for kind in KINDS])
def test_the_message_says_where_and_what_to_do_and_stands_in_the_docs(kind: Kind, tmp_path: Path, tiny_model: Path):
    if "CUDA" in kind.what and torch.cuda.is_available():
        pytest.skip("a machine with CUDA can do it")
    found = told(kind, tmp_path, tiny_model)
    assert found.code == kind.code, found.printed
    assert not [part for part in kind.says if part not in found.message], found.message
    assert "Traceback" not in found.printed
    assert found.message.count("\n") < ONE_SCREEN
    assert found.message.replace("\n", "").isprintable()
    assert "canary" not in found.printed
    assert entry(kind, found) in PAGE.read_text(encoding="utf-8"), "python tests/bad_inputs/record.py"


def test_no_kind_is_tried_twice():
    assert heading() in PAGE.read_text(encoding="utf-8"), "python tests/bad_inputs/record.py"
    assert not [what for what, count in Counter((kind.what, kind.command) for kind in KINDS).items() if count > 1]
