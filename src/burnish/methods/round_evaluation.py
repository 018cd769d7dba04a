"""Held-out prompts between rounds: heldout_answers.py's figures of the model before the first round and after each.

A round's evaluation lies in its folder once it is made, with what later ones are compared with, so that a run which
comes back tells the same.
"""

import json
from pathlib import Path

from safetensors.torch import load_file

from burnish.methods.heldout_answers import HeldoutAnswers
from burnish.training.checkpoint import telling_damage, write_durably, write_tensors
from burnish.training.identity import refuse_another, weights_hash
from burnish.training.metrics import Figures

FIGURES, STATE = "heldout.json", "heldout.safetensors"


def evaluated(held: HeldoutAnswers, number: int, folder: Path) -> Figures:
    """The figures after round `number`, 0 for the model that came in; kept in `folder`.

    Raises ConfigError where those that are there are of other prompts, weights or judges, DataError where the file that
    later ones are compared with is damaged.
    """
    file, state = folder / FIGURES, folder / STATE
    known = held.identity() | {"model": weights_hash(held.policy), "reward": held.rewards.identity()}
    if file.exists():
        kept = json.loads(file.read_text(encoding="utf-8"))
        refuse_another(kept["identity"], known, f"{file}: was measured with something else")
        if state.exists():
            with telling_damage(state, f"remove it and {FIGURES} beside it, and run the same command again"):
                held.restore(load_file(state))
        return dict(kept["figures"])
    figures = held(number)
    folder.mkdir(parents=True, exist_ok=True)
    if tensors := held.tensors():
        write_tensors(state, tensors)
    write_durably(file, json.dumps({"identity": known, "figures": figures}, indent=1))
    return figures
