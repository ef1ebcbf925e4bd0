"""Connections that can be cut, slowed, silenced or answered wrongly: a small TCP proxy."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any

_BODY_500 = b'{"error":"ERR_INTERNAL","message":"this is the fault that was injected"}'
_ERROR_500 = (
    b"HTTP/1.1 500 Internal Server Error\r\nContent-Type: application/json\r\nContent-Length: %d\r\n"
    b"Connection: close\r\n\r\n%s" % (len(_BODY_500), _BODY_500)
)
_CHUNK = 64 * 1024


class Link:
    """Listens on a port of its own and passes everything to ``target``, a port of this machine, and back.

    All of its work is done in one thread for all links; its methods may be called from any thread.
    """

    def __init__(self, target: int) -> None:
        self.target = target
        self.port = 0
        # How many connections were cut, and how many requests were answered wrongly, by the faults below.
        self.cuts = 0
        self.answers = 0
        self._mode = "pass"
        self._delay = 0.0
        self._mark: bytes | None = None
        self._open: set[_Connection] = set()
        _loop.run(self._listen())

    async def _listen(self) -> None:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connection = _Connection(self, writer)
        self._open.add(connection)
        try:
            if self._mode == "refuse":
                return
            await connection.serve(reader)
        except (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            self._open.discard(connection)
            connection.abort()

    def cut(self, after: int) -> None:
        """Cut every open connection once ``after`` more bytes have come from the server, in the middle of what it says.

        With 0 the server has done what was asked, and nobody hears of it.
        """
        _loop.call(lambda: self._each(lambda connection: connection.cut_after(after)))

    def swallow(self, mark: bytes) -> None:
        """Cut the connection that says ``mark`` next, when the server has done it and before its answer is heard."""
        self._mark = mark

    def takes(self, said: bytes) -> bool:
        """Whether the answer to this is to be swallowed; each ``swallow`` is one."""
        if self._mark is None or self._mark not in said:
            return False
        self._mark = None
        return True

    @property
    def waits(self) -> bool:
        """Whether nobody has said the mark of ``swallow`` yet."""
        return self._mark is not None

    def sever(self) -> None:
        """Cut every open connection now."""
        _loop.call(lambda: self._each(lambda connection: connection.cut()))

    def _each(self, work: Callable[[_Connection], None]) -> None:
        for connection in self._open:
            work(connection)

    def refuse(self) -> None:
        """Cut every connection, and every new one as soon as it is made."""
        self._set("refuse", sever=True)

    def answer_500(self) -> None:
        """Answer every HTTP request with 500, without asking the server."""
        self._set("500", sever=True)

    def slow(self, seconds: float) -> None:
        """Hold every piece of what the server says for so long."""
        self._delay = seconds
        self._set("slow")

    def silence(self) -> None:
        """Pass nothing in either direction, and cut nothing."""
        self._set("silence")

    def restore(self) -> None:
        """Pass everything again."""
        self._mark = None
        self._set("pass")

    def _set(self, mode: str, sever: bool = False) -> None:
        self._mode = mode
        if sever:
            self.sever()

    @property
    def mode(self) -> str:
        return self._mode

    @property
    def delay(self) -> float:
        return self._delay

    def close(self) -> None:
        """Listen no more and cut what is open."""
        _loop.call(self._server.close)
        self.sever()


class _Connection:
    def __init__(self, link: Link, client: asyncio.StreamWriter) -> None:
        self._link = link
        self._client = client
        self._upstream: asyncio.StreamWriter | None = None
        self._left: int | None = None

    async def serve(self, reader: asyncio.StreamReader) -> None:
        answers, self._upstream = await asyncio.open_connection("127.0.0.1", self._link.target)
        directions = [
            asyncio.ensure_future(self._ask(reader, self._upstream)),
            asyncio.ensure_future(self._answer(answers)),
        ]
        try:
            await asyncio.wait(directions, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for one in directions:
                one.cancel()
            for outcome in await asyncio.gather(*directions, return_exceptions=True):
                if isinstance(outcome, Exception) and not isinstance(outcome, OSError):
                    raise outcome

    async def _heard(self) -> None:
        while self._link.mode == "silence":
            await asyncio.sleep(0.05)

    async def _ask(self, reader: asyncio.StreamReader, upstream: asyncio.StreamWriter) -> None:
        while data := await reader.read(_CHUNK):
            await self._heard()
            if self._link.mode == "500":
                self._link.answers += 1
                self._client.write(_ERROR_500)
                await self._client.drain()
                self._client.close()  # in order, or the answer could be lost
                return
            if self._link.takes(data):
                self.cut_after(0)
            upstream.write(data)
            await upstream.drain()

    async def _answer(self, answers: asyncio.StreamReader) -> None:
        while data := await answers.read(_CHUNK):
            await self._heard()
            if self._link.mode == "slow":
                await asyncio.sleep(self._link.delay)
            if self._left is not None:
                data, self._left = data[: self._left], self._left - len(data)
                self._client.write(data)
                if self._left <= 0:
                    await self._client.drain()
                    self.cut()
                    return
            else:
                self._client.write(data)
            await self._client.drain()

    def cut_after(self, after: int) -> None:
        self._left = after

    def cut(self) -> None:
        self._link.cuts += 1
        self.abort()

    def abort(self) -> None:
        """Both ends see a reset, not an orderly end."""
        for writer in (self._client, self._upstream):
            if writer is not None and not writer.is_closing():
                raw: Any = writer.get_extra_info("socket")
                if raw is not None:
                    with suppress(OSError):
                        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")
                writer.transport.abort()


class _Loop:
    """One event loop in a thread, for all links of the process."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._made: asyncio.AbstractEventLoop | None = None

    @property
    def _loop(self) -> asyncio.AbstractEventLoop:
        with self._lock:
            if self._made is None:
                self._made = asyncio.new_event_loop()
                threading.Thread(target=self._made.run_forever, name="links", daemon=True).start()
            return self._made

    def run(self, work: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(10)

    def call(self, work: Any) -> None:
        done = threading.Event()

        def do() -> None:
            work()
            done.set()

        self._loop.call_soon_threadsafe(do)
        done.wait(10)


_loop = _Loop()
