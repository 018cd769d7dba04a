"""The rate of a plain large matrix product on this machine, a turn at a time."""

import time

import torch
from turns import Turns

SIZE = 2048
PRODUCTS = 4


class Product:
    """Two square matrices, and where their product goes: the first one pays for the pages of its result."""

    def __init__(self) -> None:
        draw = torch.Generator().manual_seed(0)
        self.left, self.right = (torch.randn(SIZE, SIZE, generator=draw) for _ in range(2))
        self.out = self.left @ self.right

    def rate(self) -> float:
        """Multiplications and additions a second."""
        began = time.perf_counter()
        for _ in range(PRODUCTS):
            torch.mm(self.left, self.right, out=self.out)
        return PRODUCTS * 2 * SIZE**3 / (time.perf_counter() - began)


def main() -> None:
    turns = Turns()
    product = Product()
    turns.next()
    while True:
        turns.next(rate=product.rate())


if __name__ == "__main__":
    main()
