"""The public feed and what belongs to it: the pages' own source, open to other programs."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from fastapi import APIRouter, Header, HTTPException, Query, Request
from starlette.responses import Response

from monitor.acting import NotRecorded, Refused, Wish, granted, view
from monitor.alarm_lines import may_see
from monitor.feed import MOST_CLIENTS, Stream, Wanted
from monitor.frames import Expired
from monitor.gate import COOKIE, peer
from monitor.known import FrameRef
from monitor.picture import Layer, Window
from monitor.screens import Key
from monitor.shapes import AlarmSheet, PatientSheet, SystemSheet, Ward
from monitor.site import Site
from wire.cluster import BrokerUnavailable
from wire.decode_pool import DecoderUnavailable
from wire.errors import FrameError
from wire.records import Action

View = Literal["ward", "alarms", "system", "patient"]
EXPIRED = "expired, see PACS"

STREAM = """Alerts and heartbeats as Server-Sent Events, each once and in order.

Events: `alert` and `heartbeat` (id: the offset in topic `alerts`; data: the record as on the
topic), `beat` every second (no id; how the server is, and up to which offset this client has been
told all there is), `gap` before what follows messages that Kafka does not have any more, or where
the offset asked for lies beyond the end (data: from, to; read /api/alarms anew), `patch` with
`view` (data: parts of the page that changed).

Resumes after `Last-Event-ID` (header, else query `last_event_id`), or begins at `from`; without
either only what comes from now on is sent."""

ERRORS: dict[int | str, dict[str, Any]] = {401: {"description": "nobody known asks"}}


def routes(site: Site) -> APIRouter:
    """Return the routes of the API."""
    router = APIRouter(prefix="/api", responses=ERRORS)
    _add_views(router, site)
    _add_frames(router, site)
    _add_actions(router, site)
    _add_stream(router, site)
    return router


def _add_views(router: APIRouter, site: Site) -> None:
    def answer(name: View, request: Request, patient_id: str | None = None) -> Response:
        person, now = request.state.person, datetime.now(UTC)
        sheet = site.sheet(Key(name, patient_id, person.role), now)
        if sheet is None:
            raise HTTPException(404, "nothing is known of this patient")
        if patient_id is not None and site.seen.is_new(person, patient_id, page=True):
            site.recorder.note(view(person, patient_id, now))
        return Response(sheet.model_dump_json(), media_type="application/json")

    @router.get("/patients", response_model=Ward)
    def ward(request: Request) -> Response:
        """Return the ward: a tile a patient, most needy first."""
        return answer("ward", request)

    @router.get("/patients/{patient_id}", response_model=PatientSheet)
    def patient(request: Request, patient_id: str) -> Response:
        """Return one patient. Who asks is written to `actions`."""
        return answer("patient", request, patient_id)

    @router.get("/alarms", response_model=AlarmSheet)
    def alarms(request: Request) -> Response:
        """Return the alarms that stand, and what was said of late."""
        return answer("alarms", request)

    @router.get("/system", response_model=SystemSheet)
    def system(request: Request) -> Response:
        """Return how the system runs."""
        return answer("system", request)


def _add_frames(router: APIRouter, site: Site) -> None:
    def found(sop_instance_uid: str, number: int, finding: UUID | None) -> FrameRef:
        frames = site.hub.board.frames
        ref = frames.at(sop_instance_uid, number) if finding is None else frames.get(finding)
        if ref is None or (ref.sop_instance_uid, ref.frame_number) != (sop_instance_uid, number):
            raise HTTPException(410, EXPIRED)
        return ref

    @router.get(
        "/frames/{sop_instance_uid}/{number}.png",
        response_class=Response,
        responses={
            200: {"content": {"image/png": {}}},
            403: {"description": "its pixels may show a name, and this role sees none"},
            410: {"description": EXPIRED},
            415: {"description": "it cannot be decoded"},
            503: {"description": "the broker is away"},
        },
    )
    def frame(
        request: Request,
        sop_instance_uid: str,
        number: int,
        window: Window = "auto",
        layer: Layer = "image",
        finding: Annotated[
            UUID | None, Query(description="where the UID was used again: of which finding")
        ] = None,
    ) -> Response:
        """Return a frame, or its heat map over the whole frame (clear where it says 0), as PNG."""
        ref, person = found(sop_instance_uid, number, finding), request.state.person
        if layer == "image" and not may_see(ref.burned_in, person.role):
            raise HTTPException(403, f"it may show a name: not for the role {person.role}")
        patient_id = ref.patient_id
        if patient_id is not None and site.seen.is_new(person, patient_id, page=False):
            site.recorder.note(view(person, patient_id, datetime.now(UTC)))
        try:
            return Response(site.pictures.png(ref, layer, window), media_type="image/png")
        except Expired:
            raise HTTPException(410, EXPIRED) from None
        except FrameError as error:
            raise HTTPException(415, f"it cannot be decoded: {error.detail}") from error
        except (BrokerUnavailable, DecoderUnavailable) as error:
            raise HTTPException(503, "pictures cannot be read now") from error


def _add_actions(router: APIRouter, site: Site) -> None:
    @router.post(
        "/actions",
        status_code=202,
        response_model=Action,
        responses={
            403: {"description": "not for this role"},
            404: {"description": "there is no such alarm, recommendation or patient"},
            503: {"description": "the broker did not confirm it: it may not be recorded"},
        },
    )
    def act(request: Request, wish: Wish) -> Response:
        """Acknowledge, silence, sign off, reject, enter a therapy: written to `actions`."""
        try:
            action = granted(wish, request.state.person, site.known(), datetime.now(UTC))
            site.recorder.record(action)
        except Refused as refused:
            if refused.status == 404 and site.hub.not_ready():
                raise HTTPException(503, "not everything is read yet: try again") from refused
            raise HTTPException(refused.status, str(refused)) from refused
        except NotRecorded as error:
            raise HTTPException(503, "this was not recorded: try again") from error
        return Response(action.to_json(), 202, media_type="application/json")


def _add_stream(router: APIRouter, site: Site) -> None:
    def allowed(request: Request) -> Callable[[], bool]:
        person, cookie, where = request.state.person, request.cookies.get(COOKIE), peer(request)
        return lambda: site.access.still(person, request.headers, cookie, where)

    @router.get(
        "/alerts/stream",
        description=STREAM,
        response_class=Response,
        responses={200: {"content": {"text/event-stream": {}}}},
    )
    async def stream(
        request: Request,
        header: Annotated[str | None, Header(alias="Last-Event-ID")] = None,
        last_event_id: str | None = None,
        begin: Annotated[int | None, Query(alias="from", ge=0)] = None,
        of: Annotated[View | None, Query(alias="view")] = None,
        patient_id: Annotated[str | None, Query(alias="id")] = None,
    ) -> Response:
        person, feed = request.state.person, site.feed
        if feed is None or feed.clients >= MOST_CLIENTS:
            raise HTTPException(503, "too many listen already")
        if (of == "patient") != (patient_id is not None):
            raise HTTPException(422, "`id` belongs to view=patient")
        if patient_id is not None and site.seen.is_new(person, patient_id, page=False):
            site.recorder.note(view(person, patient_id, datetime.now(UTC)))
        key = None if of is None else Key(of, patient_id, person.role)
        last = header or last_event_id
        offset = begin if last is None else _after(last)
        return Stream(feed.events(Wanted(offset, key, allowed(request))))


def _after(last_event_id: str) -> int:
    if not (last_event_id.isascii() and last_event_id.isdigit() and len(last_event_id) < 19):
        raise HTTPException(400, "Last-Event-ID is an offset in `alerts`")
    return int(last_event_id) + 1
