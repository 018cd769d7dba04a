"""The rate of a plain large matrix product on this machine, a turn at a time."""

import time

import torch
from turns import Turns

SIZE = 2048
PRODUCTS = 4


def main() -> None:
    turns = Turns()
    draw = torch.Generator().manual_seed(0)
    left, right = (torch.randn(SIZE, SIZE, generator=draw) for _ in range(2))
    out = left @ right  # the first one pays for the pages of its result
    turns.next()
    while True:
        began = time.perf_counter()
        for _ in range(PRODUCTS):
            torch.mm(left, right, out=out)
        turns.next(rate=PRODUCTS * 2 * SIZE**3 / (time.perf_counter() - began))


if __name__ == "__main__":
    main()
