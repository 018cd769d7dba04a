"""What judges may answer that is no score: addresses that are asked over a real connection, and functions."""

from collections.abc import Callable
from typing import Any

from bad_inputs.kinds import URL, Kind
from rewards.served import reply

ANSWERS = '{"prompt": "the film", "answers": ["a", "b"], "model": "m", "seed": 0}\n'


def answering(
    what: str, body: bytes, *says: str, status: int = 200, kind: str = "application/json", **headers: str
) -> Kind:
    """An address that answers so."""
    return asked(what, lambda handler, _: reply(handler, body, status, kind, **headers), *says)


def asked(what: str, served: Callable[[Any, Any], object], *says: str) -> Kind:
    command = f"rank judge --answers answers.jsonl --by {URL} --out ranked.jsonl"
    where = 'http://127.0.0.1:8000/score: asked about prompt 1 ("the film"): '
    return Kind(what, command, 69, (where, *says), {"answers.jsonl": ANSWERS}, served=served)


def refused(what: str, url: str, *says: str) -> Kind:
    """An address that is not called at all."""
    command = f"rank judge --answers answers.jsonl --by {url} --out ranked.jsonl"
    return Kind(what, command, 69, says, {"answers.jsonl": ANSWERS})


def returning(what: str, value: str, *says: str) -> Kind:
    """A function beside the recipe that returns this."""
    command = "rank judge --answers answers.jsonl --by mine:score --out ranked.jsonl --allow-code"
    code = f"def score(prompts, answers):\n    return {value}\n"
    return Kind(what, command, 65, ("mine:score: ", *says), {"answers.jsonl": ANSWERS, "mine.py": code})


def flood(handler: Any, _: Any) -> None:
    """A gigabyte, as far as it is read."""
    handler.send_response(200)
    handler.send_header("Content-Type", "application/json")
    handler.send_header("Content-Length", str(1 << 30))
    handler.end_headers()
    for _ in range(1 << 14):
        handler.wfile.write(b"[" * (1 << 16))


ADDRESSES = [
    answering(
        "a page in place of scores",
        b"<html><b>Login</b></html>",
        "answered text/html instead of JSON",
        kind="text/html",
    ),
    answering("a page that says it is JSON", b"<html>", "not JSON"),
    answering("NaN", b'{"scores": [0.5, NaN]}', "NaN is not JSON"),
    answering("text for a score", b'{"scores": [0.5, "0.5"]}', 'is no finite number; found text "0.5"'),
    answering("one score for two answers", b'{"scores": [0.5]}', "need as many scores; found 1"),
    answering("no scores", b'{"score": [1, 2]}', 'answered JSON without "scores"; wanted is {"scores": [0.3, …]}'),
    answering(
        "a redirect",
        b"",
        "answered 302, a redirect; name the final address",
        status=302,
        Location="http://127.0.0.1:1/",
    ),
    answering("no entry", b'{"error": "who are you"}', "answered 401 Unauthorized", status=401),
    asked("a gigabyte", flood, "answered with more than 10485760 bytes"),
    refused(
        "where clouds keep a machine's credentials",
        "http://169.254.169.254/latest",
        "resolves to 169.254.169.254, where machines keep their credentials; burnish does not call it",
    ),
    refused(
        "plain http to another machine",
        "http://192.0.2.7/score",
        "would send prompts and answers unencrypted to another machine; use https, or --insecure",
    ),
]

FUNCTIONS = [
    returning("a score too few", "[1.0]", "need as many scores; found 1"),
    returning("a score that is no number", "[1.0, float('nan')]", "is no finite number; found nan"),
    returning("nothing", "None", "a list of scores is wanted; found null"),
]

SECTIONS = {"What an address answers": ADDRESSES, "What a function returns": FUNCTIONS}
