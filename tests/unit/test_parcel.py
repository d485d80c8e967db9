"""What passes between processes is what it was, and nothing else passes."""

import gc
import json
import mmap
import os
import pickle
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from multiprocessing import Pipe
from pathlib import Path
from uuid import uuid4

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.phantoms import chest_hu, dataset, part10

import engines
from identity.named import Named
from producers.prepare import Prepared, prepare_source
from producers.sources import Source
from stream.looking import Wanted, look, looks
from wire.decode_channel import MAX_PARTS, Channel
from wire.decode_pool import DecodePool
from wire.errors import FrameError, Reason
from wire.frame import decode_frame
from wire.parcel import Garbled, kinds_of, pack, unpack

WANTED = Wanted("name", ("CT",), (), (), engines.Preparation("field", (-1000.0, 400.0)))
KINDS = kinds_of(prepare_source) | kinds_of(looks)


def carried(value):
    return unpack([bytes(part) for part in pack(value)], KINDS)


scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.text(),
    st.floats(allow_nan=False),
    st.binary(),
    st.uuids(),
    st.datetimes(timezones=st.just(UTC)),
)
values = st.recursive(
    scalars, lambda inner: st.lists(inner) | st.tuples(inner) | st.tuples(inner, inner)
)


@given(values)
def test_what_is_packed_comes_back(value):
    assert carried(value) == value
    assert type(carried(value)) is type(value)


@pytest.mark.parametrize("dtype", ["u1", "<i2", ">i2", "f4", "?", "<u4"])
@pytest.mark.parametrize("shape", [(), (0,), (3, 4), (2, 3, 3)])
def test_arrays_keep_type_and_shape(dtype, shape):
    array = np.arange(max(1, np.prod(shape, dtype=int)))[: np.prod(shape, dtype=int)]
    array = array.astype(dtype).reshape(shape)
    found = carried(array)
    assert found.dtype == array.dtype
    assert found.shape == array.shape
    np.testing.assert_array_equal(found, array)


def test_an_array_with_steps_is_what_it_shows():
    array = np.arange(20).reshape(4, 5)[::2, ::-1]
    np.testing.assert_array_equal(carried(array), array)


def test_what_producers_and_workers_send_comes_back():
    payload = part10(dataset(chest_hu(1, 64), PatientIdentityRemoved="YES", PixelSpacing=[5, 5]))
    frame = decode_frame(payload)
    asked = look(payload, None, WANTED)
    found = carried(asked)
    assert (found.frame_id, found.about) == (frame.frame_id, frame.about)
    assert isinstance(found.ready, engines.Prepared)
    assert replace(found.ready, views=()) == replace(asked.ready, views=())
    np.testing.assert_array_equal(found.ready.views[0], asked.ready.views[0])
    assert carried(WANTED) == WANTED
    prepared = Prepared("id", "p", None, 1, b"bytes", Named("Doe^Jane"), "possible")
    assert carried(prepared) == prepared
    assert carried(Source(Path("/x/\udcff.zip"), "m", 3)) == Source(Path("/x/\udcff.zip"), "m", 3)
    error = carried(FrameError(Reason.QUALITY, "words", frame.about))
    assert error.args == (Reason.QUALITY, "words", frame.about)
    assert isinstance(error.reason, Reason)


class Evil:
    """Unpickled, it would run a command."""

    def __init__(self, file: Path) -> None:
        self.file = file

    def __reduce__(self):
        return os.system, (f"touch {self.file}",)


@dataclass
class Stranger:
    """A dataclass that no task speaks of."""

    value: int = 0


@pytest.mark.parametrize(
    "parts",
    [
        [],
        [b""],
        [b"{}"],
        [pickle.dumps(Evil(Path("here")))],
        [b'["of", "unit.test_parcel.Stranger", 1]'],
        [b'["of", "os.system", "true"]'],
        [b'["of", "subprocess.Popen", "true"]'],
        [b'["eval", "1"]'],
        [b'["array", 1, "O", [1]]', b"12345678"],
        [b'["array", 1, "f8", [99]]', b"12345678"],
        [b'["bytes", 7]'],
        [b'["path", ["list"]]'],
        [b'["reason", "no such"]'],
        [b"[" * 100_000],
        [b'["tuple", ' * 5_000 + b"1" + b"]" * 5_000],
    ],
)
def test_what_is_no_parcel_is_garbled(parts):
    with pytest.raises(Garbled):
        unpack(parts, KINDS)


@given(st.lists(st.binary(max_size=200), max_size=4))
def test_any_bytes_are_garbled_or_plain(parts):
    try:
        unpack(parts, KINDS)
    except Garbled:
        pass


@pytest.mark.parametrize("value", [object(), {1, 2}, Evil(Path("here")), np.array([object()]), 1j])
def test_nothing_else_is_packed(value):
    with pytest.raises((TypeError, Garbled)):
        carried(value)


@pytest.fixture
def channel():
    ours, theirs = Pipe()
    with ours, theirs, mmap.mmap(-1, 4096) as memory:
        yield Channel(ours, memory, KINDS), theirs


@pytest.mark.parametrize(
    "words",
    [
        b"",
        b"m",
        b"m" + b"\0" * 4,
        b"m" + b"\xff" * 4,
        b"m\1\0\0\0" + (4097).to_bytes(8, "little"),
        b"m\1\0\0\0" + (4096).to_bytes(8, "little"),
        b"p\1\0\0\0" + b"\xff" * 8,
        b"x" * (1 + 4 + 8 * MAX_PARTS + 1),
        json.dumps(["item", 1]).encode(),
    ],
)
def test_words_that_are_no_message_are_garbled(channel, words):
    ours, theirs = channel
    theirs.send_bytes(words)
    with pytest.raises((Garbled, OSError)):
        ours.receive()


def liar(file: str) -> Iterator[str]:
    """Answer as a process that was taken over: past the pool, straight into its pipe."""
    (mine,) = (found for found in gc.get_objects() if isinstance(found, Channel))
    mine.pipe.send_bytes(pickle.dumps(("item", Evil(Path(file)))))
    yield "never seen"


def test_a_child_that_was_taken_over_costs_itself(tmp_path):
    with DecodePool(liar) as pool, pytest.raises(FrameError, match="nonsense") as caught:
        pool.one(str(tmp_path / "owned"))
    assert caught.value.reason is Reason.UNDECODABLE
    assert not (tmp_path / "owned").exists()


def test_an_id_survives():
    made = uuid4()
    assert carried(made) == made
    assert carried(datetime(2026, 1, 2, tzinfo=UTC)) == datetime(2026, 1, 2, tzinfo=UTC)
