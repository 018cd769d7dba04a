"""Two who rank, signed in at one server."""

import pytest
from feedback.served import Served, Visitor


@pytest.fixture(scope="module")
def ann(served: Served) -> Visitor:
    return served.visitor("ann")


@pytest.fixture(scope="module")
def bo(served: Served) -> Visitor:
    return served.visitor("bo")
