"""What every request passes before any route sees it, and what every response carries.

Whoever may talk to this server is decided here: a page of another site that the annotator's browser has open (it can
send requests, but not choose their Origin, and not read the answers), a name that was made to resolve to this machine,
a body without end, a session that floods.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

BODY_LIMIT = 192 * 1024
SAFE = ("GET", "HEAD")
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "base-uri 'none'; form-action 'self'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types"
)
HEADERS = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
    "Cache-Control": "no-store",
}


def refusal(status: int, code: str, message: str, headers: dict[str, str] | None = None) -> JSONResponse:
    """An answer that says no. `code` is for the page, `message` for a person."""
    return JSONResponse({"error": code, "message": message}, status, headers)


class Fenced:
    """Adds `HEADERS` to every response, errors included."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(HEADERS)
            await send(message)

        await self.app(scope, receive, with_headers)


class SameOrigin:
    """Refuses what changes something unless this very page sent it, as JSON.

    Origin must name the host that was asked (which is on the list of allowed hosts by now), and Sec-Fetch-Site must
    say the same. Browsers leave the latter out on plain http to another machine; there Origin decides alone.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        trouble = self._trouble(Headers(scope=scope)) if scope["type"] == "http" and _changes(scope) else None
        if trouble is None:
            await self.app(scope, receive, send)
        else:
            await refusal(*trouble)(scope, receive, send)

    @staticmethod
    def _trouble(headers: Headers) -> tuple[int, str, str] | None:
        try:
            origin = urlsplit(headers.get("origin", ""))
        except ValueError:  # "http://[": nothing that a browser sends
            origin = urlsplit("")
        host = headers.get("host", "").lower()
        if origin.scheme not in ("http", "https") or origin.netloc.lower() != host:
            return 403, "origin", "this request does not come from the ranking page; open the page itself"
        site = headers.get("sec-fetch-site")
        trusted = origin.scheme == "https" or origin.hostname in LOOPBACK
        if site != "same-origin" and (site is not None or trusted):
            return 403, "origin", "the browser says that another site sent this request; open the page itself"
        if headers.get("content-type", "").split(";")[0].strip().lower() != "application/json":
            return 415, "type", "send application/json"
        return None


LOOPBACK = ("127.0.0.1", "localhost", "::1")


def _changes(scope: Scope) -> bool:
    return scope["method"] not in SAFE


@dataclass(slots=True)
class Allowance:
    """A token bucket for each key: `burst` requests at once, `rate` a second in the long run."""

    rate: float
    burst: float
    most: int = 10_000
    clock: Callable[[], float] = time.monotonic
    _left: dict[str, tuple[float, float]] = field(default_factory=dict)

    def take(self, key: str) -> float:
        """Seconds to wait before this request would be allowed; 0 takes one from the bucket."""
        now = self.clock()
        left, then = self._left.pop(key, (self.burst, now))  # popped, so that the order is that of last use
        left = min(self.burst, left + (now - then) * self.rate)
        self._left[key] = (left - 1 if left >= 1 else left, now)
        if len(self._left) > self.most:
            del self._left[next(iter(self._left))]
        return 0.0 if left >= 1 else (1 - left) / self.rate
