"""A WSGI application and a listening socket -> a waitress server that many connections, or odd bodies, cannot stop.

waitress hears no newcomers once it holds as many connections as it may, and keeps what it has for a minute: as many
silent clients would shut everyone else out. So those that have been silent longest make room. And it gathers the line
before a chunk, however long, by copying all of it for every piece that comes.
"""

from __future__ import annotations

import socket
from typing import Any

from waitress.adjustments import Adjustments
from waitress.channel import HTTPChannel
from waitress.parser import HTTPRequestParser
from waitress.receiver import ChunkedReceiver
from waitress.server import TcpWSGIServer
from waitress.utilities import BadRequest

MAX_CHUNK_LINE_BYTES = 16_384
"""Of the line before a chunk, and of what follows the last one."""

_ROOM = 25
"""Connections that are closed at once, and that always have room."""


class _Parser(HTTPRequestParser):
    def received(self, data: bytes) -> int:
        consumed: int = super().received(data)
        body = self.body_rcv
        if isinstance(body, ChunkedReceiver) and max(len(body.control_line), len(body.trailer)) > MAX_CHUNK_LINE_BYTES:
            self.error = BadRequest(f"a line of a chunked body is longer than {MAX_CHUNK_LINE_BYTES:,} bytes")
            self.completed = True
        return consumed


class _Channel(HTTPChannel):
    parser_class = _Parser


class Server(TcpWSGIServer):
    """`run()` answers until SystemExit or KeyboardInterrupt. `options` are those of waitress."""

    channel_class = _Channel

    def __init__(self, app: Any, listener: socket.socket, **options: Any) -> None:
        address = (listener.family, listener.type, listener.proto, listener.getsockname())
        adjustments = Adjustments(sockets=[listener], **options)
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
