"""The server of the ranking page: routes from the page's requests to the store.

Whatever a route reaches, it reaches through the annotator of the session that the cookie opens; no request names one.
No response tells which model wrote an answer, what an item is called or where it came from: what is not sent cannot
leak. Requests that wait for the disk do so in threads.

    GET   /, /page.css, /*.js          the page, from the package
    POST  /api/session   {token}       one-time token → cookie; all below need the cookie, POST also X-CSRF-Token
    GET   /api/me                      {name, csrf, lead, guidelines, progress, live}
    POST  /api/next                    {item, progress}      item: null where nothing is left
    POST  /api/draft     {assignment, draft}
    POST  /api/heartbeat {assignment}
    POST  /api/submit    {assignment, key, order, …}         {saved, feedback?, sources?}, after the commit
    POST  /api/skip      {assignment, reason}
    POST  /api/undo                    {item, progress}
    POST  /api/formatted {text}        {tree}                Markdown as a tree
    GET   /api/guidelines              {tree}
    …     /api/lead/…                  for a lead's session alone, see lead.py

and where answers are written to prompts that annotators type (`live`):

    POST  /api/ask       {text, after, key}                  {asked}
    POST  /api/written   {asked}       {answers, before, item, trouble}    so far; item: once all is there
"""

import hashlib
import hmac
import inspect
import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import asdict
from importlib import resources
from typing import Any

from pydantic import ValidationError
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.body_limit import RequestBodyLimitMiddleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp

from burnish.data import strict_json
from burnish.data.problems import RowError, for_terminal
from burnish.errors import BurnishError, DataError, DiskFull, MissingInput
from burnish.feedback.database.access import SESSION_SECONDS, csrf_of
from burnish.feedback.database.decisions import DoneAlready
from burnish.feedback.live import LONGEST_PROMPT, Busy, Live
from burnish.feedback.page.bodies import (
    AskBody,
    AskedBody,
    DraftBody,
    FormattedBody,
    HeldBody,
    SkipBody,
    SubmitBody,
    TokenBody,
)
from burnish.feedback.page.formatting import formatted
from burnish.feedback.page.guard import BODY_LIMIT, Allowance, Fenced, SameOrigin, refusal
from burnish.feedback.page.lead import Desk
from burnish.feedback.page.reckoning import ModelFiles
from burnish.feedback.page.shown import Tree, markdown, visible
from burnish.feedback.records import Annotator, Assignment
from burnish.feedback.store import Store
from burnish.types import Prompt

Answer = Callable[[Annotator, Any], dict[str, Any] | Awaitable[dict[str, Any]]]
TYPES = {"html": "text/html; charset=utf-8", "css": "text/css; charset=utf-8", "js": "text/javascript; charset=utf-8"}
_log = logging.getLogger("burnish.feedback")


class Page:
    """The routes on one store. `guidelines`: what annotators are asked to look at, as Markdown. `live`: who answers
    what they type; then they get nothing else. `redeemed` is told each token of a link that has opened a session.
    `reveal_since`: of what is given from that moment on (seconds since 1970), annotators are told what wrote each
    answer once they have ranked it. `beside`: what a lead's statistics set beside people."""

    def __init__(
        self,
        store: Store,
        guidelines: str = "",
        live: Live | None = None,
        redeemed: Callable[[str], None] = lambda token: None,
        *,
        reveal_since: float | None = None,
        beside: ModelFiles | None = None,
    ) -> None:
        self._store = store
        self._reveal_since = reveal_since
        self._redeemed = redeemed
        self._live = live
        self._guidelines: Tree = (markdown(visible(guidelines)) or [["p", guidelines]]) if guidelines else []
        # browsers send a cookie to every port of a host: two stores served side by side must not share a name
        self.cookie = "burnish_" + hashlib.sha256(str(store.path.resolve()).encode()).hexdigest()[:8]
        self._desk = Desk(store, seen, beside)
        self._requests = Allowance(rate=10, burst=60)
        self._failures = Allowance(rate=0.5, burst=20)

    def routes(self) -> list[Route]:
        posts = {
            "next": self._next, "draft": self._draft, "heartbeat": self._heartbeat, "submit": self._submit,
            "skip": self._skip, "undo": self._undo, "formatted": self._formatted,
        }  # fmt: skip
        if self._live is not None:
            posts |= {"ask": self._ask, "written": self._written}
        desk = self._desk
        decisions: dict[str, Answer] = {"next": desk.next, "undo": desk.undo} | {
            name: desk.deciding(posts[name]) for name in ("draft", "heartbeat", "submit", "skip")
        }
        return [
            *(Route(path, self._file(name), methods=["GET"]) for path, name in _files()),
            Route("/api/session", self._sign_in, methods=["POST"]),
            Route("/api/me", self._read(self._me), methods=["GET"]),
            Route("/api/guidelines", self._read(lambda who, secret: {"tree": self._guidelines}), methods=["GET"]),
            *(Route(f"/api/{name}", self._change(answer), methods=["POST"]) for name, answer in posts.items()),
            Route("/api/lead/statistics", self._read(desk.statistics, lead=True), methods=["GET"]),
            *(
                Route(f"/api/lead/{name}", self._change(answer, lead=True), methods=["POST"])
                for name, answer in decisions.items()
            ),
        ]

    # ---- who asks

    @staticmethod
    def _file(name: str) -> Callable[[Request], Any]:
        body = (resources.files("burnish") / "feedback/page/web" / name).read_bytes()
        kind = TYPES[name.rsplit(".", 1)[1]]

        async def answer(_: Request) -> Response:
            return Response(body, media_type=kind)

        return answer

    async def _sign_in(self, request: Request) -> Response:
        """A token of a link for the cookie of a session."""
        given = TokenBody.model_validate(await _body(request))
        session = await run_in_threadpool(self._store.redeem, given.token)
        if session is None:
            wait = self._failures.take(request.client.host if request.client else "")
            if wait:
                return refusal(429, "slow", "too many links that do not work", {"Retry-After": f"{wait:.0f}"})
            return refusal(403, "token", "this link was used already, has expired, or was never given")
        await run_in_threadpool(self._redeemed, given.token)
        answer = JSONResponse(await run_in_threadpool(self._me, session.annotator, session.secret))
        secure = request.headers["origin"].startswith("https:")
        answer.set_cookie(
            self.cookie, session.secret, max_age=int(SESSION_SECONDS), httponly=True, samesite="strict", secure=secure
        )
        return answer

    async def _who(self, request: Request, lead: bool) -> tuple[Annotator, str] | Response:
        """Whose session it is, and its secret; a refusal where there is none, or none of a lead's where `lead`."""
        secret = request.cookies.get(self.cookie, "")
        who = await run_in_threadpool(self._store.session, secret) if secret else None
        if who is None:
            return refusal(401, "session", "no session; open the link that you were given")
        wait = self._requests.take(secret)
        if wait:
            return refusal(429, "slow", "too many requests", {"Retry-After": f"{max(wait, 1):.0f}"})
        if lead and not who.lead:
            return refusal(403, "role", "this is for the lead; open the page itself")
        return who, secret

    def _read(self, answer: Answer, *, lead: bool = False) -> Callable[[Request], Any]:
        async def route(request: Request) -> Response:
            who = await self._who(request, lead)
            return who if isinstance(who, Response) else JSONResponse(await _answered(answer, *who))

        return route

    def _change(self, answer: Answer, *, lead: bool = False) -> Callable[[Request], Any]:
        async def route(request: Request) -> Response:
            found = await self._who(request, lead)
            if isinstance(found, Response):
                return found
            who, secret = found
            if not hmac.compare_digest(request.headers.get("x-csrf-token", "").encode(), csrf_of(secret).encode()):
                return refusal(403, "csrf", "the page is from another session; load it again")
            return JSONResponse(await _answered(answer, who, await _body(request)))

        return route

    # ---- what is asked; each gets the annotator and the request's body

    def _me(self, who: Annotator, secret: str) -> dict[str, Any]:
        return {
            "name": visible(who.name),
            "csrf": csrf_of(secret),
            "lead": who.lead,
            "guidelines": bool(self._guidelines),
            "progress": self._progress(who),
            "live": None if self._live is None else self._collecting(self._live, who),
        }

    @staticmethod
    def _collecting(live: Live, who: Annotator) -> dict[str, Any]:
        asked = live.asked(who)
        under_way = asked is not None and not asked.over
        return {
            "answers": live.writer.answers,
            "turns": live.writer.turns,
            "longest": LONGEST_PROMPT,
            "asked": {"id": asked.id, "prompt": turns(asked.prompt)} if asked is not None and under_way else None,
        }

    def _progress(self, who: Annotator) -> dict[str, int | None]:
        shown: dict[str, int | None] = {**self._store.progress_shown(who)}
        return shown if self._live is None else shown | {"left": None}

    def _next(self, who: Annotator, _: Any) -> dict[str, Any]:
        # No checks where sources are told: a gold item would be known by its own (a teacher's beside a model's), and a
        # repeat would not be blind. Practice stays: it is no check, and said to be none.
        given = self._store.next_item(who, draw=self._live is None, checks=self._reveal_since is None)
        return {"item": seen(given), "progress": self._progress(who)}

    def _undo(self, who: Annotator, _: Any) -> dict[str, Any]:
        return {"item": seen(self._store.undo(who)), "progress": self._progress(who)}

    def _ask(self, who: Annotator, body: Any) -> dict[str, Any]:
        given = AskBody.model_validate(body)
        return {"asked": self._collector.ask(who, given.text, given.after, str(given.key)).id}

    def _written(self, who: Annotator, body: Any) -> dict[str, Any]:
        asked = self._collector.asked(who, AskedBody.model_validate(body).asked)
        if asked is None:
            raise MissingInput("no prompt of theirs")
        return {
            "answers": [visible(text) for text in asked.texts],
            "before": asked.before,
            "item": seen(asked.assignment),
            "trouble": asked.trouble,
        }

    @property
    def _collector(self) -> Live:
        if self._live is None:
            raise MissingInput("nobody answers here")
        return self._live

    def _draft(self, who: Annotator, body: Any) -> dict[str, Any]:
        given = DraftBody.model_validate(body)
        return {"lease_end": self._store.save_draft(who, given.assignment, given.draft)}

    def _heartbeat(self, who: Annotator, body: Any) -> dict[str, Any]:
        return {"lease_end": self._store.heartbeat(who, HeldBody.model_validate(body).assignment)}

    def _submit(self, who: Annotator, body: Any) -> dict[str, Any]:
        given = SubmitBody.model_validate(body)
        receipt = self._store.submit(
            who, given.assignment, given.submission(), str(given.key), reveal_since=self._reveal_since
        )
        told = {name: value for name, value in asdict(receipt).items() if value is not None}
        if receipt.sources is not None:
            told["sources"] = [None if source is None else visible(source) for source in receipt.sources]
        return told

    def _skip(self, who: Annotator, body: Any) -> dict[str, Any]:
        given = SkipBody.model_validate(body)
        self._store.skip(who, given.assignment, given.reason, given.client_ms)
        return {}

    def _formatted(self, who: Annotator, body: Any) -> dict[str, Any]:
        return {"tree": formatted(visible(FormattedBody.model_validate(body).text))}


def seen(assignment: Assignment | None) -> dict[str, Any] | None:
    """All that a page learns of an item. Field by field, so that a field that the store gains is not sent unseen."""
    if assignment is None:
        return None
    return {
        "id": assignment.id,
        "task": assignment.task,
        "prompt": turns(assignment.prompt),
        "answers": [visible(answer) for answer in assignment.answers],
        "draft": assignment.draft,
        "submission": assignment.submission,
        "practice": None if assignment.practice is None else asdict(assignment.practice),
    }


def turns(prompt: Prompt) -> list[dict[str, str | None]]:
    """A prompt as the page shows it, turn by turn; a text alone has no role."""
    said = [(None, prompt)] if isinstance(prompt, str) else [(turn.role, turn.content) for turn in prompt]
    return [{"role": None if role is None else visible(role), "text": visible(text)} for role, text in said]


def application(page: Page, hosts: Sequence[str]) -> ASGIApp:
    """The whole server. `hosts`: what the Host header may name (without port); anything else is refused."""
    app = Starlette(
        routes=page.routes(),
        middleware=[
            Middleware(TrustedHostMiddleware, allowed_hosts=list(hosts), www_redirect=False),
            Middleware(SameOrigin),
            Middleware(RequestBodyLimitMiddleware, max_body_size=BODY_LIMIT),
        ],
        exception_handlers={
            HTTPException: _http_error,
            ValidationError: _wrong_body,
            RowError: _no_json,
            MissingInput: _unknown,
            DoneAlready: _done,
            Busy: _busy,
            DataError: _refused,
            DiskFull: _full,
            BurnishError: _failed,
            Exception: _fault,
        },
    )
    return Fenced(app)  # around all of it: a fault's answer is made outside of the middleware that Starlette is given


async def _answered(answer: Answer, who: Annotator, given: Any) -> dict[str, Any]:
    """What waits for the disk does so in a thread, what waits for another process on the loop."""
    made = answer(who, given) if inspect.iscoroutinefunction(answer) else await run_in_threadpool(answer, who, given)
    found: dict[str, Any] = await made if inspect.isawaitable(made) else made
    return found


async def _body(request: Request) -> Any:
    """The request's JSON; an empty body is an empty object. Raises RowError where it is none."""
    try:
        text = (await request.body()).decode("utf-8")
    except UnicodeDecodeError:
        raise RowError("the body is not UTF-8") from None
    return strict_json.parse(text) if text else {}


async def _http_error(_: Request, error: Exception) -> Response:
    status = error.status_code if isinstance(error, HTTPException) else 500
    words = {404: "there is no such page", 405: "this cannot be done here", 413: f"more than {BODY_LIMIT} bytes"}
    return refusal(status, "http", words.get(status, "this request cannot be answered"))


async def _wrong_body(_: Request, error: Exception) -> Response:
    found = error.errors(include_url=False, include_context=False) if isinstance(error, ValidationError) else []
    fields = "; ".join(f"{'.'.join(str(part) for part in one['loc'])}: {one['msg']}" for one in found[:5])
    return refusal(422, "body", visible(fields))


async def _no_json(_: Request, error: Exception) -> Response:
    return refusal(400, "json", visible(str(error)))


async def _unknown(_: Request, error: Exception) -> Response:
    return refusal(404, "assignment", "no such item of yours; ask for the next one")


async def _done(_: Request, error: Exception) -> Response:
    return refusal(409, "done", "this item is done already; ask for the next one")


async def _busy(_: Request, error: Exception) -> Response:
    return refusal(409, "busy", visible(str(error)))


async def _refused(_: Request, error: Exception) -> Response:
    return refusal(422, "refused", visible(str(error)))


async def _full(_: Request, error: Exception) -> Response:
    """The page keeps what it has and tries again, as where the server cannot be reached."""
    _log.error("%s", for_terminal(str(error)))
    return refusal(507, "full", "not saved: the server's disk is full. Your ranking is still in this page")


async def _failed(_: Request, error: Exception) -> Response:
    """The database is held by another process, say. The page keeps what it has and tries again."""
    _log.error("%s", for_terminal(str(error)))
    return refusal(503, "failed", "the server could not save this; it is kept in the browser and tried again")


async def _fault(_: Request, error: Exception) -> Response:
    """A fault of ours, which uvicorn logs with its traceback; nothing of it is told."""
    return refusal(500, "fault", "the server failed; what you have is kept in the browser and tried again")


def _files() -> list[tuple[str, str]]:
    """(path, file) of what the page is made of."""
    names = [entry.name for entry in (resources.files("burnish") / "feedback/page/web").iterdir()]
    return [("/", "index.html"), *((f"/{name}", name) for name in sorted(names) if name.endswith((".js", ".css")))]
