"""What goes out on the feed: whole, in order, with a beat; views only as far as they changed."""

import asyncio
import json
from contextlib import aclosing
from dataclasses import dataclass, field

import pytest
from support.kafka_records import alert, heartbeat, said

from monitor.board import Board
from monitor.feed import Feed, Stream, Wanted, as_events, event
from monitor.ring import heard
from monitor.screens import Drawn, Key, Screens
from monitor.source import Bell, Part, Source
from wire.cluster import Cluster

DEADLINE_S = 20.0


@dataclass
class Hub:
    """What the feed asks of the hub; nothing is read."""

    board: Board = field(default_factory=Board)
    broker: str = "ok"
    cache: str = "ok"

    def not_ready(self):
        return ()

    def alerts_read(self):
        return True


@dataclass(frozen=True)
class Parts:
    """Parts of a page."""

    html: dict[str, str]
    lists: dict[str, list[str]]


class Page:
    """A view that can be changed; counts how often it is drawn."""

    def __init__(self) -> None:
        self.parts: Parts | None = Parts({"a": "<p>1</p>", "b": "<p>2</p>"}, {"all": ["a", "b"]})
        self.state = 0
        self.drawn = 0
        self.broken = False

    def draw(self, key: Key) -> Parts | None:
        self.drawn += 1
        if self.broken:
            raise RuntimeError("cannot be drawn")
        return self.parts


class Server:
    """A feed without a broker."""

    def __init__(self) -> None:
        self.hub, self.bell, self.page = Hub(), Bell(), Page()
        self.screens = Screens(self.page.draw, lambda: self.page.state, self.bell.ring)
        ring, nobody = self.hub.board.ring, Cluster.plain("127.0.0.1:1")
        source = Source(ring, self.hub.alerts_read, self.bell, nobody, "alerts")
        self.feed = Feed(self.hub, source, self.screens, self.bell)  # type: ignore[arg-type]

    def say(self, record, offset):
        self.hub.board.take_alert(said(record, offset=offset))
        self.bell.ring_from_outside()

    async def hear(self, enough, *, offset=None, key=None, allowed=lambda: True, then=None):
        """Return what a client hears until `enough` of it, as (event, id, data)."""
        got: list[tuple[str, int | None, str]] = []
        async with (
            asyncio.timeout(DEADLINE_S),
            aclosing(self.feed.events(Wanted(offset, key, allowed))) as parts,
        ):
            async for part in parts:
                got += parsed(part)
                if then is not None:
                    then(got)
                if enough(got):
                    break
        return got


def parsed(part):
    for block in part.decode().split("\n\n"):
        fields = dict(line.partition(": ")[::2] for line in block.splitlines())
        data = "\n".join(li.partition(": ")[2] for li in block.splitlines() if li[:5] == "data:")
        if "event" in fields:
            yield fields["event"], int(fields["id"]) if "id" in fields else None, data


def ids(got):
    return [number for name, number, _ in got if name in ("alert", "heartbeat")]


def test_a_client_hears_all_from_where_it_was():
    async def run():
        server = Server()
        for offset in range(5):
            server.say(alert(offset), offset)
        server.say(heartbeat(1), 5)
        return await server.hear(lambda got: len(ids(got)) == 4, offset=2)

    got = asyncio.run(run())
    assert ids(got) == [2, 3, 4, 5]
    assert got[-1][0] == "heartbeat"
    assert json.loads(got[1][2])["id"] == str(alert(2).id)


def test_without_an_id_a_client_hears_what_comes_from_now_on():
    async def run():
        server = Server()
        server.say(alert(1), 7)
        said_it = []

        def then(got):
            if got and not said_it:
                said_it.append(1)
                asyncio.get_running_loop().call_later(0.1, server.say, alert(2), 8)

        return await server.hear(ids, then=then)

    assert ids(asyncio.run(run())) == [8]


def test_the_beat_comes_each_second_and_says_how_it_is():
    async def run():
        server = Server()
        server.say(alert(1), 7)
        server.hub.cache = "away"
        return await server.hear(lambda got: len(got) == 3)

    got = asyncio.run(run())
    assert {name for name, _, _ in got} == {"beat"}
    beat = json.loads(got[0][2])
    assert (beat["broker"], beat["cache"], beat["ready"]) == ("ok", "away", True)
    assert beat["newest_offset"] == 7


def test_an_offset_of_another_log_is_told_and_nothing_is_missed_after_it():
    async def run():
        server = Server()
        server.say(alert(1), 0)
        loop = asyncio.get_running_loop()
        loop.call_later(0.3, server.say, alert(2), 1)
        return await server.hear(ids, offset=1000)

    got = asyncio.run(run())
    assert json.loads(next(data for name, _, data in got if name == "gap")) == {
        "from": 1000,
        "to": 1,
    }
    assert ids(got) == [1]


def test_who_may_not_listen_any_more_hears_no_more():
    async def run():
        return await Server().hear(lambda got: False, allowed=lambda: False)

    assert asyncio.run(run()) == []


def test_the_end_of_the_server_ends_the_streams():
    async def run():
        server = Server()
        asyncio.get_running_loop().call_later(0.2, server.feed.end)
        await server.hear(lambda got: False)
        return server.feed.clients

    assert asyncio.run(run()) == 0


WARD = Key("ward", None, "nurse")


def patches(got):
    return [json.loads(data) for name, _, data in got if name == "patch"]


def test_the_first_patch_is_whole_and_the_next_is_what_changed():
    async def run():
        server = Server()

        def then(got):
            if len(patches(got)) == 1:
                server.page.parts = Parts({"a": "<p>1</p>", "b": "<p>3</p>"}, {"all": ["a", "b"]})
                server.page.state = 1

        got = await server.hear(lambda got: len(patches(got)) == 2, key=WARD, then=then)
        return got, server.page.drawn

    got, drawn = asyncio.run(run())
    assert patches(got) == [
        {"html": {"a": "<p>1</p>", "b": "<p>2</p>"}, "lists": {"all": ["a", "b"]}},
        {"html": {"b": "<p>3</p>"}, "lists": {}},
    ]
    assert drawn == 2


def test_many_who_look_at_one_view_have_it_drawn_once():
    async def run():
        server = Server()
        await asyncio.gather(*(server.hear(patches, key=WARD) for _ in range(20)))
        return server.page.drawn

    assert asyncio.run(run()) == 1


def test_a_view_that_cannot_be_drawn_is_not_called_ready(monkeypatch):
    monkeypatch.setattr("monitor.screens.AGAIN_ELSE_S", 0.2)
    monkeypatch.setattr("monitor.screens.LATE_S", 0.5)

    async def run():
        server = Server()
        server.page.broken = True
        return await server.hear(
            lambda got: any(not json.loads(d)["ready"] for n, _, d in got if n == "beat"), key=WARD
        )

    got = asyncio.run(run())
    assert json.loads(got[0][2])["ready"]  # it has some seconds
    assert not patches(got)


def test_a_page_of_a_patient_who_was_forgotten_is_cut_off():
    async def run():
        server = Server()

        def then(got):
            if patches(got):
                server.page.parts, server.page.state = None, 1

        return await server.hear(lambda got: False, key=WARD, then=then)

    assert len(patches(asyncio.run(run()))) == 1  # the stream ended by itself


def test_what_did_not_change_is_not_sent():
    one = Drawn(0, Parts({"a": "x"}, {}))
    same = Drawn(1, Parts({"a": "x"}, {}))
    gone = Drawn(2, Parts({}, {"all": []}))
    assert same.since(one) is None
    assert json.loads(gone.since(one) or b"") == {"html": {}, "lists": {"all": []}}
    assert json.loads(same.since(None) or b"") == {"html": {"a": "x"}, "lists": {}}


@pytest.mark.parametrize("data", ["{}", '{\n"a": 1\r\n}', ""])
def test_no_data_breaks_out_of_its_event(data):
    lines = event("alert", data, 3).decode().split("\n")
    assert lines[:2] == ["id: 3", "event: alert"]
    assert all(line.startswith("data: ") for line in lines[2:-2])
    assert lines[-2:] == ["", ""]


def test_a_client_that_takes_nothing_is_cut_off(monkeypatch):
    monkeypatch.setattr("monitor.feed.SLOW_S", 0.3)
    sent: list[bytes] = []

    async def run():
        server = Server()
        for offset in range(2_000):
            server.say(alert(offset), offset)

        async def send(message):
            if message["type"] == "http.response.body":
                sent.append(message["body"])
            if len(sent) > 2:  # its buffers are full, and it does not read
                await asyncio.Event().wait()

        async def receive():
            await asyncio.Event().wait()

        stream = Stream(server.feed.events(Wanted(0, None, lambda: True)))
        async with asyncio.timeout(DEADLINE_S):
            await stream({"type": "http", "method": "GET"}, receive, send)
        return server.feed.clients

    assert asyncio.run(run()) == 0
    assert len(sent) == 3
    assert sum(map(len, sent)) < 300_000  # handed over in parts, not all at once


def test_a_gap_comes_before_what_follows_it():
    message = heard(said(alert(1), offset=9))
    assert message is not None
    got = list(parsed(as_events(Part([message], 10, gap=(3, 9)))))
    assert [name for name, _, _ in got] == ["gap", "alert"]
