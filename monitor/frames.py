"""Pictures of frames: from Kafka to PNG. What strangers sent is decoded in other processes."""

import base64
import binascii
import queue
import threading
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any
from uuid import UUID

from monitor.known import FrameRef
from monitor.picture import Layer, Window, draw
from wire.cluster import BrokerUnavailable, Cluster
from wire.decode_pool import DecodePool, DecoderUnavailable
from wire.envelope import Envelope
from wire.reading import Reader
from wire.records import Finding
from wire.topics import RESULTS, Names

READERS = 3
"""Connections, and so pictures that are read at one time."""

DRAWERS = 2
WITHIN_S = 5.0
CACHE_BYTES = 64 << 20

Key = tuple[UUID, Layer, Window]


class Expired(Exception):
    """Kafka does not have the frame any more; the PACS does."""


class Pictures:
    """PNGs of frames and heat maps. Thread-safe; each call blocks for as long as it takes.

    Parameters
    ----------
    cache_bytes : of PNGs that are kept in memory.
    """

    def __init__(self, cluster: Cluster, names: Names, cache_bytes: int = CACHE_BYTES) -> None:
        self._cluster = cluster
        self._results = names.of(RESULTS)
        self._idle: queue.LifoQueue[Reader | None] = queue.LifoQueue()
        for _ in range(READERS):
            self._idle.put(None)  # opened when first used
        self._pool = DecodePool(draw, workers=DRAWERS)
        self._lock = threading.Lock()
        self._cache: OrderedDict[Key, bytes] = OrderedDict()
        self._cache_bytes = cache_bytes
        self._cached_bytes = 0

    def warm_up(self) -> None:
        """Start a drawing process now: the first picture need not wait the second that takes."""
        with suppress(DecoderUnavailable, RuntimeError):  # said to who asks, or closed meanwhile
            self._pool.warm_up()

    def png(self, ref: FrameRef, layer: Layer, window: Window) -> bytes:
        """Return a frame, or its heat map over the whole frame, as PNG of the frame's size.

        Raises
        ------
        Expired             Kafka does not have it any more.
        BrokerUnavailable   no broker answers in time.
        FrameError          it cannot be decoded.
        DecoderUnavailable  no process can be started to decode it.
        """
        key: Key = (ref.finding_id, layer, "auto" if layer == "heat" else window)
        with self._lock:
            if key in self._cache:
                self._cache.move_to_end(key)
                return self._cache[key]
        png = self._draw(ref, layer, window)
        with self._lock:
            self._cached_bytes += len(png) - len(self._cache.pop(key, b""))
            self._cache[key] = png
            while self._cached_bytes > self._cache_bytes:
                self._cached_bytes -= len(self._cache.popitem(last=False)[1])
        return png

    def close(self) -> None:
        """End the drawing processes and release the connections."""
        self._pool.close()
        while not self._idle.empty():
            reader = self._idle.get_nowait()
            if reader is not None:
                reader.close()

    def _draw(self, ref: FrameRef, layer: Layer, window: Window) -> bytes:
        with self._reader() as reader:
            heat_map = self._heat_map(reader, ref) if layer == "heat" and ref.heat_map else None
            record = self._read(reader, ref.frame.topic, ref.frame.partition, ref.frame.offset)
        number = Envelope.of(record.headers).frame_number
        png: bytes | None = self._pool.one(
            record.value, number, str(ref.frame_id), layer, window, heat_map
        )
        if png is None:  # the topic was made anew: another frame lies there now
            raise Expired
        return png

    def _heat_map(self, reader: Reader, ref: FrameRef) -> bytes | None:
        partition, offset = ref.finding
        record = self._read(reader, self._results, partition, offset)
        try:
            finding = Finding.model_validate_json(record.value)
            if finding.id != ref.finding_id:
                raise Expired
            return base64.b64decode(finding.heat_map or "")
        except (ValueError, binascii.Error) as error:
            raise Expired from error

    @staticmethod
    def _read(reader: Reader, topic: str, partition: int, offset: int) -> Any:
        record = reader.one(topic, partition, offset, within_s=WITHIN_S)
        if record is None or record.value is None:
            raise Expired
        return record

    @contextmanager
    def _reader(self) -> Iterator[Reader]:
        """Yield a connection; one that failed is not used again."""
        try:
            reader = self._idle.get(timeout=WITHIN_S)
        except queue.Empty:
            raise BrokerUnavailable("all connections for pictures are busy") from None
        try:
            reader = reader or Reader(self._cluster)
            yield reader
        except BrokerUnavailable:
            if reader is not None:
                reader.close()
            reader = None
            raise
        finally:
            self._idle.put(reader)
