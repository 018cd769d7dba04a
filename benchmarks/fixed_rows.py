"""Rows of the benchmark that train on answers which are given: SFT, the reward model, DPO and KTO, beside TRL.

Both sides train the same weights on the same token ids in the same order, in float32 on two threads, with the same
optimiser, and their losses are compared: else they would not be doing the same.

DPO is measured four ways. `dpo`: the reference computed once for all rows before the first step, the pass counted and
spread over the steps of one epoch; and the same run with the pass left out. `dpo-inside`: computed in every step.
`dpo-ours-kept`: kept from an earlier run here, as burnish does, in every step there, as TRL does unless told. KTO as
`dpo` and as `dpo-ours-kept`.
"""

import argparse
import os
import subprocess
import sys
from pathlib import Path

from table import HERE, Measured
from turns import ENVIRONMENT, alternate, note, worker

ROWS = ("sft", "reward", "dpo", "dpo-inside", "dpo-ours-kept", "kto", "kto-ours-kept")


def measure(row: str, options: argparse.Namespace, folder: Path) -> list[Measured]:
    """Let both sides take turns on one way of training. A reference that is kept gives two of them."""
    note(f"{row}: preparing {options.steps * options.batch} rows")
    environment = ENVIRONMENT | {"OMP_NUM_THREADS": str(options.threads)}
    kind = row.partition("-")[0]
    given = [kind, str(options.model), str(folder), str(options.steps * options.batch), str(options.data)]
    given += ["0", str(options.batch)]
    subprocess.run([sys.executable, str(HERE / "rows.py"), *given], check=True, env=os.environ | environment)
    model = str(folder / "start") if kind == "reward" else str(options.model)
    common = [model, str(folder), str(options.steps), str(options.batch), str(options.rate)]
    ours_kept = row.endswith("-ours-kept")
    theirs_is, own_is = (f"{kind}-inside", kind) if ours_kept else (row, row)
    with (
        worker("TRL", ["side_trl.py", theirs_is, *common], folder, environment) as trl,
        worker(
            "burnish", ["side_burnish.py", own_is, *common, str(options.micro_batch_tokens)], folder, environment
        ) as burnish,
        worker("product", ["side_product.py"], folder, environment) as product,
    ):
        for process in (trl, burnish, product):
            process.ready()
        passes = {"TRL": 0.0, "burnish": 0.0}
        if ours_kept:
            burnish.turn()  # the pass of that earlier run
        if row in ("dpo", "kto"):
            passes = {side.name: side.turn()["seconds"] for side in (burnish, trl)}
            note(f"{row}: the reference's pass took TRL {passes['TRL']:.1f} s, burnish {passes['burnish']:.1f} s")
        theirs, own, rates = alternate(row, options.steps, trl, burnish, product)
    shape = f"{options.steps} × {options.batch}"
    if row in ("dpo", "kto"):
        counted = Measured(f"{row}, pass counted", theirs, own, rates, shape, passes["TRL"], passes["burnish"])
        return [counted, Measured(f"{row}, reference kept", theirs, own, rates, shape)]
    name = f"{kind}, kept here, inside there" if ours_kept else row.replace("-inside", ", reference inside")
    return [Measured(name, theirs, own, rates, shape)]
