"""Nothing secret is written into a run: tokens in settings, addresses and messages are masked before."""

import os
import re
from typing import Any

MASK = "***"
SHAPES = (
    re.compile(r"\b(?:hf_|sk-|ghp_|github_pat_)[A-Za-z0-9_-]{8,}"),
    re.compile(r"(?<=Bearer )[^\s\"']+"),
    re.compile(r"(?<=://)[^\s/@\"']+(?=@)"),
    re.compile(r"(?<=[?&]token=)[^\s&\"']+"),
    re.compile(r"(?<=[?&]key=)[^\s&\"']+"),
)
SECRET_NAME = re.compile(r"TOKEN|SECRET|PASSWORD|API_?KEY|CREDENTIAL", re.IGNORECASE)
SHORTEST = 8  # a shorter value would mask ordinary words


def masked(value: Any) -> Any:
    """`value` with every secret in it masked: those of a known shape, and the values of variables that hold one."""
    if isinstance(value, dict):
        return {key: masked(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [masked(inner) for inner in value]
    if not isinstance(value, str):
        return value
    for name, secret in os.environ.items():
        if SECRET_NAME.search(name) and len(secret) >= SHORTEST:
            value = value.replace(secret, MASK)
    for shape in SHAPES:
        value = shape.sub(MASK, value)
    return value
