"""An http address that is asked with JSON and answers with JSON: rewards, judges and samplers behind http.

The other side is not trusted: no redirects, a limit on the answer's size and on the time of the whole exchange,
nothing but JSON, and no way to make burnish call, by a name that resolves to it, an address under which machines keep
their credentials.
"""

import http.client
import ipaddress
import json
import os
import socket
import ssl
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, TypeVar
from urllib.parse import SplitResult, urlsplit

from burnish.data import strict_json
from burnish.data.problems import RowError, printable
from burnish.errors import ConfigError, Unreachable
from burnish.types import Prompt

BODY_LIMIT = 10 * 2**20
RETRIED = (408, 425, 429, 500, 502, 503, 504)
LONGEST_PAUSE = 30.0
METADATA = {ipaddress.ip_address(a) for a in ("100.100.100.200", "168.63.129.16", "192.0.0.192", "fd00:ec2::254")}
"""Addresses outside the link-local networks under which clouds hand out a machine's credentials."""

NAT64 = ipaddress.IPv6Network("64:ff9b::/96")
UNIQUE_LOCAL = ipaddress.IPv6Network("fc00::/7")

Ip = ipaddress.IPv4Address | ipaddress.IPv6Address
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Address:
    """Where JSON is posted, how long and how often, and with which secret.

    `token_env`: the environment variable whose value is sent as bearer token. `insecure`: plain http to other machines
    is meant, and so are IPv6's private addresses.
    """

    url: str
    timeout: float = 30.0
    retries: int = 3
    token_env: str | None = None
    insecure: bool = False
    pause: Callable[[float], None] = field(default=time.sleep, compare=False)

    def __post_init__(self) -> None:
        try:
            parts = urlsplit(self.url)
            whole = (
                parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port is None or parts.port > 0)
            )
        except ValueError:
            whole = False
        if not whole or not self.url.isascii() or not self.url.isprintable() or " " in self.url:
            raise ConfigError(
                f"{printable(self.url.split('?')[0], 80)}: an address begins with http:// or https://, names a host, "
                "and has no spaces or control characters"
            )
        if parts.username is not None or parts.password is not None:
            raise ConfigError(
                f"{self.name}: the address holds a user name or password; put the secret into an environment variable "
                "and name that with token_env"
            )
        if self.token_env is not None and not _sendable(os.environ.get(self.token_env, "")):
            raise ConfigError(f"{self.name}: token_env names {self.token_env}; no such variable with a token is set")
        if not (self.timeout > 0 and self.retries >= 0):
            raise ConfigError(f"{self.name}: timeout must be above 0, and retries not below")

    @property
    def name(self) -> str:
        """The address as messages and records show it: without its query, where secrets stand."""
        return shown(urlsplit(self.url))

    def ask(self, question: Any, about: str, read: Callable[[Any], T]) -> T:
        """What `read` makes of the answer's JSON; it raises RefusedError where that is not what was asked for.

        What may pass is tried again, with pauses. Raises Unreachable, naming the address and what was asked `about`.
        """
        try:
            return self.put(question, about, read)
        except RefusedError as refused:
            raise self.unreachable(about, refused) from None

    def put(self, question: Any, about: str, read: Callable[[Any], T], *, any_text: bool = False) -> T:
        """`ask` for who may put the question otherwise: raises RefusedError where asking the same again is no help.

        `any_text`: the answer may hold NUL and half characters, of which nothing is kept.
        """
        body = json.dumps(question).encode()
        trouble = ""
        for attempt in range(self.retries + 1):
            try:
                return read(_parsed(self._post(body), any_text))
            except _AgainError as again:
                trouble = str(again)
                if attempt < self.retries:
                    self.pause(min(max(again.after, 0.5 * 2**attempt), LONGEST_PAUSE))
        raise self.unreachable(about, f"{trouble}; tried {self.retries + 1} times")

    def unreachable(self, about: str, trouble: object) -> Unreachable:
        return Unreachable(f"{self.name}: asked about {about}: {trouble}")

    def _post(self, body: bytes) -> bytes:
        """The body of a good answer. Raises _AgainError for what may pass, RefusedError for what will not."""
        parts = urlsplit(self.url)
        deadline = time.monotonic() + self.timeout
        try:
            with self._connected(parts, deadline) as sock:
                body_or_none = self._exchange(sock, parts, body, deadline)
        except ssl.SSLCertVerificationError as error:
            raise RefusedError(f"its certificate is not valid ({error.verify_message})") from None
        except (OSError, http.client.HTTPException) as error:
            if time.monotonic() < deadline:
                what = printable(f"{type(error).__name__}: {error}", 100)
                raise _AgainError(f"the connection failed ({what})") from None
            body_or_none = None
        if body_or_none is None:
            raise _AgainError(f"no whole answer within {self.timeout:g} s")
        return body_or_none

    def _exchange(self, sock: socket.socket, parts: SplitResult, body: bytes, deadline: float) -> bytes | None:
        """One request and its answer's body; None where time ran out."""
        # a peer that sends a byte a second never runs into a timeout of single reads
        cut = threading.Timer(max(deadline - time.monotonic(), 0.0), _shut, [sock])
        cut.daemon = True
        cut.start()
        try:
            if isinstance(sock, ssl.SSLSocket):
                sock.do_handshake()
            kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
            connection = kind(parts.hostname or "", parts.port, timeout=self.timeout)
            connection.sock = sock
            target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
            connection.request("POST", target, body=body, headers=self._headers())
            response = connection.getresponse()
            found = response.read(BODY_LIMIT + 1)  # a short body is no error to it, and neither is a cut one
        finally:
            cut.cancel()
        return _good(response, found) if time.monotonic() < deadline else None

    def _headers(self) -> dict[str, str]:
        headers = {"Content-Type": "application/json", "Accept": "application/json", "Connection": "close"}
        if self.token_env is not None:
            headers["Authorization"] = f"Bearer {os.environ.get(self.token_env, '')}"
        return headers

    def _connected(self, parts: SplitResult, deadline: float) -> socket.socket:
        """A connection to an address that was looked at: the name is resolved once, and not again by the connection."""
        port = parts.port or (443 if parts.scheme == "https" else 80)
        try:
            found = socket.getaddrinfo(parts.hostname, port, type=socket.SOCK_STREAM)
        except OSError as error:
            raise _AgainError(f"its name cannot be resolved ({error.strerror or error})") from None
        addresses = list(dict.fromkeys(str(entry[4][0]) for entry in found))
        for address in addresses:
            trouble = address_trouble(ipaddress.ip_address(address.split("%")[0]), parts.scheme, insecure=self.insecure)
            if trouble:
                raise RefusedError(trouble)
        failure = ""
        for address in addresses:
            try:
                sock = socket.create_connection((address, port), timeout=max(deadline - time.monotonic(), 0.01))
                if parts.scheme == "http":
                    return sock
                return ssl.create_default_context().wrap_socket(
                    sock, server_hostname=parts.hostname, do_handshake_on_connect=False
                )
            except OSError as error:
                failure = error.strerror or str(error)
        raise _AgainError(f"no connection ({failure})")


class _AgainError(Exception):
    """May pass. `after`: seconds that the other side asked to wait."""

    def __init__(self, message: str, after: float = 0.0) -> None:
        super().__init__(message)
        self.after = after


class RefusedError(Exception):
    """Asking again would not help. `status`: of the answer, where that is what refuses."""

    def __init__(self, message: str, status: int | None = None) -> None:
        super().__init__(message)
        self.status = status


def address_trouble(address: Ip, scheme: str, *, insecure: bool) -> str:
    """Why an address is not called; empty where it may be."""
    if isinstance(address, ipaddress.IPv6Address):
        if address.ipv4_mapped is not None:
            address = address.ipv4_mapped
        elif address in NAT64:
            address = ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    if address.is_loopback:
        return ""
    if address.is_link_local or address in METADATA:
        return f"resolves to {address}, where machines keep their credentials; burnish does not call it"
    if address.is_multicast or address.is_unspecified or address.is_reserved:
        return f"resolves to {address}, which is no machine's address"
    if address in UNIQUE_LOCAL and not insecure:
        return f"resolves to the private address {address}; if that is meant: --insecure"
    if scheme == "http" and not insecure:
        return "would send prompts and answers unencrypted to another machine; use https, or --insecure"
    return ""


def shown(parts: SplitResult) -> str:
    host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname
    return printable(f"{parts.scheme}://{host}{f':{parts.port}' if parts.port else ''}{parts.path}")


def _good(response: http.client.HTTPResponse, body: bytes) -> bytes:
    """The body of an answer 200 in JSON, whole and within the limit."""
    kind = response.headers.get("Content-Type") or "no content type"
    length = response.headers.get("Content-Length", "")
    beginning = printable(body[:60].decode("utf-8", "replace"), 60)
    if 300 <= response.status < 400:
        raise RefusedError(f"answered {response.status}, a redirect; name the final address")
    if response.status != 200:
        trouble = f'answered {response.status} {printable(response.reason, 40)} ("{beginning}")'
        if response.status in RETRIED:
            after = response.headers.get("Retry-After", "")
            raise _AgainError(trouble, float(after) if after.isdigit() else 0.0)
        raise RefusedError(trouble, response.status)
    if len(body) > BODY_LIMIT:
        raise RefusedError(f"answered with more than {BODY_LIMIT} bytes")
    if length.isdigit() and len(body) < int(length):
        raise _AgainError(f"its answer was cut after {len(body)} of {int(length)} bytes")
    if "json" not in kind.lower():
        raise RefusedError(f'answered {printable(kind, 40)} instead of JSON ("{beginning}")')
    return body


def _shut(sock: socket.socket) -> None:
    """End every read and write on a socket, from another thread, whether or not TLS lies over it."""
    with suppress(OSError):
        socket.socket.shutdown(sock, socket.SHUT_RDWR)


def _sendable(token: str) -> bool:
    return bool(token) and token.isascii() and token.isprintable()


def _parsed(body: bytes, any_text: bool) -> Any:
    try:
        return strict_json.parse(body.decode("utf-8"), any_text=any_text)
    except (UnicodeDecodeError, RowError) as error:
        beginning = printable(body[:60].decode("utf-8", "replace"), 60)
        raise RefusedError(f'answered something that is not JSON ({error}): "{beginning}"') from None


def completed(url: str, ending: str) -> str:
    """The address of an OpenAI-compatible interface: `url` where it ends so, else `url` with what it lacks."""
    parts = urlsplit(url)
    path = parts.path.rstrip("/")
    if path.endswith(ending):
        return url
    return parts._replace(path=f"{path}{ending}" if path.endswith("/v1") else f"{path}/v1{ending}").geturl()


def messages(prompt: Prompt) -> Any:
    """A prompt as JSON says it: text, or a list of role and content."""
    if isinstance(prompt, str):
        return prompt
    return [{"role": message.role, "content": message.content} for message in prompt]
