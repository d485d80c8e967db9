"""The gate before every route: who asks is known, or is not let in; every answer is guarded.

One place and not one check a route: a route that is added later cannot forget it.
"""

from urllib.parse import quote, urlsplit

import structlog
from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import HTTPConnection
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from monitor.access import Access
from monitor.users import UsersFileError

log = structlog.get_logger(__name__)

COOKIE = "lesionstream"
MOST_BODY_BYTES = 64 << 10
THIS_MACHINE = ("localhost", "127.0.0.1", "::1")

HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; "
    "img-src 'self'; connect-src 'self'; font-src 'self'; form-action 'self'; "
    "frame-ancestors 'none'; base-uri 'none'",
    "X-Content-Type-Options": "nosniff",
    # Nothing to other servers. Not `no-referrer`: with it a browser says of its own form, where the
    # way is not encrypted, that it comes from "null".
    "Referrer-Policy": "same-origin",
    "Cache-Control": "no-store",
    "Cross-Origin-Resource-Policy": "same-origin",
}


class Gate:
    """ASGI middleware. What is behind it finds who asks in ``request.state.person``."""

    def __init__(self, app: ASGIApp, access: Access) -> None:
        self._app = app
        self._access = access

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let a request through, or answer it here."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        if scope["type"] != "http":  # no websockets here
            return

        async def guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(HEADERS)
            await send(message)

        answer = self._refusal(scope)
        await (answer or self._app)(scope, receive, guarded)

    def _refusal(self, scope: Scope) -> Response | None:
        """Return the answer to who may not pass; None, and the person in the scope, to who may."""
        asked = HTTPConnection(scope)
        if self._access.demo and not of_this_machine(asked.headers.get("host", "")):
            return PlainTextResponse("the demo is for this machine alone\n", 421)
        if scope["method"] not in ("GET", "HEAD"):
            refusal = _unwanted(asked.headers)
            if refusal is not None:
                return refusal
        try:
            person = self._access.person(asked.headers, asked.cookies.get(COOKIE), peer(asked))
        except UsersFileError as error:
            log.error("nobody can be let in", why=str(error))
            return PlainTextResponse("nobody can be let in now: see the server's log\n", 503)
        scope.setdefault("state", {})["person"] = person
        path = str(scope["path"])
        if person is not None or path in ("/login", "/live") or path.startswith("/static/"):
            return None
        if path.startswith("/api/") or path == "/openapi.json" or scope["method"] != "GET":
            return PlainTextResponse(
                "who are you?\n", 401, headers={"WWW-Authenticate": 'Bearer realm="lesionstream"'}
            )
        return RedirectResponse(f"/login?next={quote(path, safe='/')}", 303)


def peer(asked: HTTPConnection) -> str | None:
    """Return the address a request comes from."""
    return asked.client.host if asked.client else None


def of_this_machine(host: str) -> bool:
    """Tell whether a Host header names this machine: another name may be led here by its DNS."""
    try:
        return urlsplit(f"//{host}").hostname in THIS_MACHINE
    except ValueError:
        return False


def local_path(path: str) -> str:
    """Return a path to go to after the login, "/" for what leads elsewhere."""
    fine = path.startswith("/") and path[1:2] not in ("/", "\\") and "\\" not in path
    return path if fine and path.isprintable() else "/"


def _unwanted(headers: Headers) -> Response | None:
    """Return the answer to what wants to change something and may not even be asked who it is."""
    if not headers.get("content-length", "").isdigit():
        return PlainTextResponse("how long is it?\n", 411)
    if int(headers["content-length"]) > MOST_BODY_BYTES:
        return PlainTextResponse("too long\n", 413)
    bearer = headers.get("authorization", "").lower().startswith("bearer ")
    if not bearer and not _same_origin(headers):
        return PlainTextResponse("this was not asked from a page of ours\n", 403)
    return None


def _same_origin(headers: Headers) -> bool:
    """Tell whether a page of ours asks; browsers say it, in one of two ways."""
    site = headers.get("sec-fetch-site")
    if site is not None:
        return site == "same-origin"
    try:
        origin = urlsplit(headers.get("origin", "")).netloc
    except ValueError:
        return False
    return bool(origin) and origin == headers.get("host")
