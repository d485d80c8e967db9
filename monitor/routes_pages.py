"""Pages: whole HTML, for browsers. Who asks is known by then (`monitor.gate`)."""

from datetime import UTC, datetime
from typing import Annotated

from fastapi import APIRouter, Form, Request
from starlette.responses import HTMLResponse, JSONResponse, RedirectResponse, Response

from monitor import pages
from monitor.access import SESSION_S, TooManyTries
from monitor.acting import view
from monitor.gate import COOKIE, local_path, peer
from monitor.screens import Key
from monitor.site import Site

WRONG = "This name and password are not known here."
WAIT = "Too many wrong passwords came. Wait five minutes, or ask who runs this server."


def routes(site: Site) -> APIRouter:
    """Return the routes of the pages."""
    router = APIRouter(include_in_schema=False)

    def shown(name: pages.View, request: Request, patient_id: str | None = None) -> Response:
        person, now = request.state.person, datetime.now(UTC)
        sheet = site.sheet(Key(name, patient_id, person.role), now)
        if sheet is None:
            return HTMLResponse("nothing is known of this patient\n", 404)
        if patient_id is not None and site.seen.is_new(person, patient_id, page=True):
            site.recorder.note(view(person, patient_id, now))
        return HTMLResponse(pages.page(name, sheet, person, demo=site.access.demo, now=now))

    @router.get("/")
    def ward(request: Request) -> Response:
        return shown("ward", request)

    @router.get("/patients/{patient_id}")
    def patient(request: Request, patient_id: str) -> Response:
        return shown("patient", request, patient_id)

    @router.get("/alarms")
    def alarms(request: Request) -> Response:
        return shown("alarms", request)

    @router.get("/system")
    def system(request: Request) -> Response:
        return shown("system", request)

    @router.get("/live")
    def live() -> Response:
        return JSONResponse({"live": True, "ready": not site.hub.not_ready()})

    @router.get("/login")
    def login(request: Request, next: str = "/") -> Response:
        if request.state.person is not None:
            return RedirectResponse(local_path(next), 303)
        return HTMLResponse(pages.login("", local_path(next)))

    @router.post("/login")
    def log_in(
        request: Request,
        name: Annotated[str, Form()],
        password: Annotated[str, Form()],
        next: Annotated[str, Form()] = "/",
    ) -> Response:
        path = local_path(next)
        try:
            session = site.access.log_in(name, password, peer(request))
        except TooManyTries:
            return HTMLResponse(pages.login(WAIT, path), 429)
        if session is None:
            return HTMLResponse(pages.login(WRONG, path), 403)
        answer = RedirectResponse(path, 303)
        answer.set_cookie(
            COOKIE,
            session,
            max_age=SESSION_S,
            httponly=True,
            samesite="strict",
            secure=site.access.by_tls(request.url.scheme, request.headers, peer(request)),
        )
        return answer

    @router.post("/logout")
    def log_out() -> Response:
        answer = RedirectResponse("/login", 303)
        answer.delete_cookie(COOKIE)
        return answer

    return router
