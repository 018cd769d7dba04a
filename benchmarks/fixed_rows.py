"""Rows of the benchmark that train on answers which are given: SFT, the reward model and DPO, beside TRL.

Both sides train the same weights on the same token ids in the same order, in float32 on two threads, with the same
optimiser, and their losses are compared: else they would not be doing the same.

DPO is measured three ways. `dpo`: the reference computed once for all rows before the first step, the pass counted and
spread over the steps of one epoch; and the same run with the pass left out. `dpo-inside`: computed in every step.
"""

import argparse
import os
import subprocess
import sys
from pathlib import Path

from table import HERE, Measured
from turns import ENVIRONMENT, alternate, note, worker

ROWS = ("sft", "reward", "dpo", "dpo-inside")


def measure(row: str, options: argparse.Namespace, folder: Path) -> list[Measured]:
    """Let both sides take turns on one way of training. DPO with a kept reference gives two of them."""
    note(f"{row}: preparing {options.steps * options.batch} rows")
    environment = ENVIRONMENT | {"OMP_NUM_THREADS": str(options.threads)}
    kind = row.partition("-")[0]
    given = [kind, str(options.model), str(folder), str(options.steps * options.batch), str(options.data)]
    subprocess.run([sys.executable, str(HERE / "rows.py"), *given], check=True, env=os.environ | environment)
    model = str(folder / "start") if kind == "reward" else str(options.model)
    common = [row, model, str(folder), str(options.steps), str(options.batch), str(options.rate)]
    with (
        worker("TRL", ["side_trl.py", *common], folder, environment) as trl,
        worker(
            "burnish", ["side_burnish.py", *common, str(options.micro_batch_tokens)], folder, environment
        ) as burnish,
        worker("product", ["side_product.py"], folder, environment) as product,
    ):
        for process in (trl, burnish, product):
            process.ready()
        passes = {"TRL": 0.0, "burnish": 0.0}
        if row == "dpo":
            passes = {side.name: side.turn()["seconds"] for side in (burnish, trl)}
            note(f"{row}: the reference's pass took TRL {passes['TRL']:.1f} s, burnish {passes['burnish']:.1f} s")
        theirs, own, rates = alternate(row, options.steps, trl, burnish, product)
    shape = f"{options.steps} × {options.batch}"
    if row == "dpo":
        counted = Measured("dpo, pass counted", theirs, own, rates, shape, passes["TRL"], passes["burnish"])
        return [counted, Measured("dpo, reference kept", theirs, own, rates, shape)]
    return [Measured("dpo, reference inside" if row == "dpo-inside" else row, theirs, own, rates, shape)]
