"""Nothing secret is written into a run: tokens in settings, addresses and messages are masked before."""

import os
import re
from typing import Any

MASK = "***"
SHAPES = (
    re.compile(r"\b(?:hf_|sk-|gh[pousr]_|github_pat_|glpat-|xox[abpr]-)[A-Za-z0-9_-]{8,}"),
    re.compile(r"\bAKIA[0-9A-Z]{16}\b"),
    re.compile(r"\bAIza[0-9A-Za-z_-]{35}"),
    re.compile(r"\beyJ[A-Za-z0-9_-]{8,}\.eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]*"),  # a JSON web token
    re.compile(r"(?<=Bearer )[^\s\"']+"),
    re.compile(r"(?<=Basic )[A-Za-z0-9+/=]{8,}"),
    re.compile(r"(?<=://)[^\s/@\"']+(?=@)"),
)
IN_A_QUERY = re.compile(
    r"([?&][\w.-]*(?:token|key|secret|password|passwd|signature|sig|credential)[\w.-]*=)[^\s&#\"'<>]+", re.IGNORECASE
)
SECRET_NAME = re.compile(r"TOKEN|SECRET|PASSWORD|PASSWD|(?:API|ACCESS|PRIVATE)_?KEY|CREDENTIAL", re.IGNORECASE)
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
    return IN_A_QUERY.sub(rf"\1{MASK}", value)
