"""The floor of an event: the detector's requests, sent as bytes one after another over sockets."""

import re
import socket
import time
import uuid
from urllib.parse import urlsplit

from measure.paths import Story
from measure.relay import Exchange
from measure.wire import read, wants_closing

TOKEN = re.compile(rb'"ClientRequestToken":"([^"]+)"')


class Bare:
    """Sends requests and reads the answers. Like every client, it reuses connections until the server closes."""

    def __init__(self):
        self._connections: dict[str, tuple[socket.socket, object]] = {}

    def send(self, server: str, request: bytes) -> int:
        """Sends one request and returns the status."""
        connection, answers = self._connections.pop(server, None) or _connect(server)
        connection.sendall(request)
        head, _ = read(answers)
        if wants_closing(head):
            answers.close()
            connection.close()
        else:
            self._connections[server] = connection, answers
        return int(head.split(b" ", 2)[1])


def _connect(server: str) -> tuple[socket.socket, object]:
    address = urlsplit(server)
    connection = socket.create_connection((address.hostname, address.port))
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return connection, connection.makefile("rb")


def about(captured: list[Exchange], of: Story, other: Story) -> list[tuple[Exchange, bytes]]:
    """The requests rewritten for another user, so that conditions hold and nothing is a repeat."""
    # The user whose requests were recorded may be further in its story.
    exchanged = list(zip(of.names(), other.names(), strict=False))
    requests = []
    for exchange in captured:
        body = TOKEN.sub(lambda _: b'"ClientRequestToken":"%s"' % str(uuid.uuid4()).encode(), exchange.body)
        for mine, theirs in exchanged:
            body = body.replace(mine, theirs)
        if len(body) != len(exchange.body):
            raise RuntimeError(f"a {exchange.action} about another user has another length")
        requests.append((exchange, exchange.head + body))
    return requests


def seconds(bare: Bare, requests: list[tuple[Exchange, bytes]]) -> float:
    """The time to send them and receive their answers, one after another."""
    began = time.monotonic()
    statuses = [bare.send(exchange.server, request) for exchange, request in requests]
    took = time.monotonic() - began
    for (exchange, _), status in zip(requests, statuses, strict=True):
        if status != exchange.status:
            raise RuntimeError(f"a {exchange.action} sent raw was answered with {status}, not {exchange.status}")
    return took
