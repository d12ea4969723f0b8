"""A WSGI application and a listening socket -> a waitress server that many connections, or odd bodies, cannot stop.

waitress hears no newcomers once it holds as many connections as it may, and keeps what it has for a minute: as many
silent clients would shut everyone else out. So those that have been silent longest make room. It gathers the line
before a chunk, however long, by copying all of it for every piece that comes. And it keeps the bodies of as many
requests as there are connections. What it refuses by itself gets the one error body.
"""

from __future__ import annotations

import re
import socket
from typing import Any

from waitress.adjustments import Adjustments
from waitress.buffers import OverflowableBuffer
from waitress.channel import HTTPChannel
from waitress.parser import HTTPRequestParser
from waitress.receiver import ChunkedReceiver
from waitress.server import TcpWSGIServer
from waitress.task import ErrorTask
from waitress.utilities import BadRequest, Error

from web.deadline import without_flask

MAX_CHUNK_LINE_BYTES = 16_384
"""Of the line before a chunk, and of what follows the last one."""

MAX_BODIES_BYTES = 1_000_000_000
"""Of all bodies that one process holds, most of them in files. Sixteen uploads of the largest size that is taken."""

_LOOK_BYTES = 1_000_000
"""So often a body that grows is looked at, and from there on: smaller ones are in memory."""

_ROOM = 25
"""Connections that are closed at once, and that always have room."""


_SEND_BYTES = 1_024
"""So much of an answer is sent at once: more than its head, so that a client wakes up once for head and body."""


class _Full(Error):
    code = 503
    reason = "Service Unavailable"

    def __init__(self) -> None:
        super().__init__("the server holds as many uploads as it may; try again later")


class _Refusal(ErrorTask):
    """What waitress itself refuses, with the error body of the application."""

    def execute(self) -> None:
        request: Any = self.request
        error, path = request.error, getattr(request, "path", "")  # what is no request has none
        self.status, self.response_headers, (body,) = without_flask(path, error.code, error.reason, error.body)
        self.set_close_on_finish()
        self.content_length = len(body)
        self.write(body)


class _Nowhere(OverflowableBuffer):
    """Keeps nothing. Who still sends would not hear an answer, so the rest of a body is read."""

    def append(self, _data: bytes) -> None:
        pass


class _Parser(HTTPRequestParser):
    def __init__(self, adj: Adjustments, server: Server) -> None:
        super().__init__(adj)
        self._server = server
        self._look_at = _LOOK_BYTES
        self._full: _Full | None = None

    def parse_header(self, header_plus: bytes) -> None:
        """With bytes beyond ASCII in the address escaped, as browsers send them and waitress takes them."""
        line, end, rest = header_plus.partition(b"\r\n")
        super().parse_header(re.sub(rb"[\x80-\xff]", lambda found: b"%%%02X" % found[0][0], line) + end + rest)

    def received(self, data: bytes) -> int:
        consumed: int = super().received(data)
        body = self.body_rcv
        if isinstance(body, ChunkedReceiver) and max(len(body.control_line), len(body.trailer)) > MAX_CHUNK_LINE_BYTES:
            self.error = BadRequest(f"a line of a chunked body is longer than {MAX_CHUNK_LINE_BYTES:,} bytes")
            self.completed = True
        elif body is not None and len(body) >= self._look_at and not self.completed:
            self._look_at = len(body) + _LOOK_BYTES
            if self._server.bodies_bytes() > self._server.max_bodies_bytes:
                body.getbuf().close()
                body.buf = _Nowhere(0)
                self._full = _Full()
        if self.completed:
            self.error = self.error or self._full
        return consumed


class _Channel(HTTPChannel):
    server: Server
    error_task_class = _Refusal

    def parser_class(self, adj: Adjustments) -> _Parser:  # type: ignore[override]
        return _Parser(adj, self.server)

    def body_bytes(self) -> int:
        """Of the request that comes and of those that are answered."""
        requests = [*self.requests, *([self.request] if self.request else [])]
        return sum(len(request.body_rcv) for request in requests if request.body_rcv is not None)


class Server(TcpWSGIServer):
    """`run()` answers until SystemExit or KeyboardInterrupt. `options` are those of waitress.

    Of who sends on when all bodies together have more than `max_bodies_bytes` nothing is kept, and the answer is 503.
    """

    channel_class = _Channel

    def __init__(
        self, app: Any, listener: socket.socket, *, max_bodies_bytes: int = MAX_BODIES_BYTES, **options: Any
    ) -> None:
        address = (listener.family, listener.type, listener.proto, listener.getsockname())
        adjustments = Adjustments(sockets=[listener], **options)
        adjustments.send_bytes = _SEND_BYTES
        self.max_bodies_bytes = max_bodies_bytes
        self._channels: dict[int, Any] = {}
        super().__init__(app, self._channels, True, listener, adj=adjustments, bind_socket=False, sockinfo=address)

    def readable(self) -> bool:
        """Asked before every wait for the sockets."""
        if len(self._channels) > self.adj.connection_limit - _ROOM:
            channels = [channel for channel in self._channels.values() if isinstance(channel, HTTPChannel)]
            waiting = [channel for channel in channels if not channel.requests]
            for channel in sorted(waiting, key=lambda channel: channel.last_activity)[:_ROOM]:
                channel.will_close = True
        return bool(super().readable())

    def bodies_bytes(self) -> int:
        """Of all bodies that are held."""
        return sum(channel.body_bytes() for channel in self._channels.values() if isinstance(channel, _Channel))
