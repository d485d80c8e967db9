"""A TCP proxy that makes a network slow, cuts it, or lets it go silent."""

import asyncio
import contextlib
import socket
import threading

CHUNK = 1 << 16


class Proxy:
    """Listens on a port of its own and passes everything on to another port of this machine.

    delay_s, bytes_per_s : of each direction of each connection; may be changed at any time.
    """

    def __init__(self, target: int = 0) -> None:
        self.target = target
        self.delay_s = 0.0
        self.bytes_per_s = float("inf")
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listening.getsockname()[1]
        self._refuses = False
        self._writers: set[asyncio.StreamWriter] = set()
        self._loop = asyncio.new_event_loop()
        self._passes = asyncio.Event()
        self._passes.set()
        self._thread = threading.Thread(target=self._run, name="proxy", daemon=True)
        self._thread.start()

    def cut(self) -> None:
        """Break all connections and refuse new ones."""
        self._soon(self._cut)

    def silence(self) -> None:
        """Let nothing through; connections stay open, and nobody is told."""
        self._soon(self._passes.clear)

    def heal(self) -> None:
        """Let everything through again, at full speed."""
        self.delay_s, self.bytes_per_s, self._refuses = 0.0, float("inf"), False
        self._soon(self._passes.set)

    def close(self) -> None:
        """End it."""
        self._soon(self._loop.stop)
        self._thread.join(10)
        self._loop.close()
        self._listening.close()

    def _soon(self, change) -> None:
        self._loop.call_soon_threadsafe(change)

    def _cut(self) -> None:
        self._refuses = True
        for writer in list(self._writers):
            writer.transport.abort()

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        serving = self._loop.run_until_complete(
            asyncio.start_server(self._serve, sock=self._listening)
        )
        self._loop.run_forever()
        serving.close()
        tasks = asyncio.all_tasks(self._loop)
        for task in tasks:
            task.cancel()
        self._loop.run_until_complete(asyncio.gather(*tasks, return_exceptions=True))

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        try:
            if self._refuses:
                return
            there_reader, there_writer = await asyncio.open_connection("127.0.0.1", self.target)
            self._writers.add(there_writer)
            try:
                await asyncio.wait(
                    [
                        asyncio.create_task(self._pass_on(reader, there_writer)),
                        asyncio.create_task(self._pass_on(there_reader, writer)),
                    ],
                    return_when=asyncio.FIRST_COMPLETED,
                )
            finally:
                self._writers.discard(there_writer)
                there_writer.transport.abort()
        except OSError:  # nobody listens there
            pass
        finally:
            self._writers.discard(writer)
            writer.transport.abort()

    async def _pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):  # one side has gone: both end
            while data := await reader.read(CHUNK):
                await self._passes.wait()
                await asyncio.sleep(self.delay_s + len(data) / self.bytes_per_s)
                writer.write(data)
                await writer.drain()
