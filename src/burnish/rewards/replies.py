"""What a language model's reply says: which of the replies that were asked for, and how likely it found each of them.

    P(r) = Σ exp(logprob) over the known tokens that read as r ("A", " A", "**A" are A), where the reply's letter stands
    P(r) = min(the least of the known, (1 - Σ of all known) / replies without a known token)   where there is none

A server tells the likeliest tokens of a place and no others. The second line is the most that a reply can have which is
not among them, so a verdict is never surer than what is known.
"""

import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

from burnish.rewards.scores import is_number

THOUGHT, THOUGHT_ENDS = "<think>", "</think>"
CONTROL_TOKEN = re.compile(r"<[^<>]*>")


def spoken(text: str) -> str:
    """What follows the model's thought; nothing where the thought has no end."""
    said = text.rpartition(THOUGHT_ENDS)[2].strip()
    return "" if said.startswith(THOUGHT) else said


def read_reply(text: str, replies: Sequence[str]) -> str | None:
    """The reply that the last line is, with nothing but marks around it; None where it is none, or where other lines
    are other replies."""
    lines = [_alone(line, replies) for line in spoken(text).splitlines() if line.strip()]
    return lines[-1] if lines and len({*lines} - {None}) == 1 else None


def log_likelihoods(said: str, replies: Sequence[str], logprobs: Any) -> list[float] | None:
    """log P of each of `replies` where `said` stands; None where `logprobs` does not tell.

    `logprobs`: what "chat/completions" has of that name, {"content": [{"token", "logprob", "top_logprobs": […]}, …]}.
    """
    known = _known(_token(said, replies, logprobs))
    total = {reply: math.fsum(p for token, p in known if _alone(token, replies) == reply) for reply in replies}
    if not total[said] > 0:
        return None
    missing = sum(not p for p in total.values())
    left = max(0.0, 1 - math.fsum(p for _, p in known))
    most = min(min(p for _, p in known), left / missing) if missing else 0.0
    return [math.log(p) if (p := total[reply] or most) > 0 else -math.inf for reply in replies]


def _alone(text: str, replies: Sequence[str]) -> str | None:
    wanted = "|".join(map(re.escape, replies))
    found = re.fullmatch(rf"[\W_]*({wanted})[\W_]*", text)
    return found.group(1) if found else None


def _token(said: str, replies: Sequence[str], logprobs: Any) -> Mapping[str, Any]:
    """The token that says it: the last one that is no mark and no control token; empty where that is another."""
    content = logprobs.get("content") if isinstance(logprobs, dict) else None
    for one in reversed(content) if isinstance(content, list) else ():
        if not isinstance(one, dict) or not isinstance(one.get("token"), str):
            break
        if re.search(r"[^\W_]", CONTROL_TOKEN.sub("", one["token"])):
            return one if _alone(one["token"], replies) == said else {}
    return {}


def _known(token: Mapping[str, Any]) -> list[tuple[str, float]]:
    """The tokens that might have stood there, with their probabilities, the one that does among them."""
    others = token.get("top_logprobs")
    if not isinstance(others, list) or not others:
        return []
    entries = [one for one in others if isinstance(one, dict)]
    if token["token"] not in [one.get("token") for one in entries]:
        entries.append(dict(token))
    return [
        (one["token"], math.exp(min(0.0, float(one["logprob"]))))
        for one in entries
        if isinstance(one.get("token"), str) and is_number(one.get("logprob"))
    ]
