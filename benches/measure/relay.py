"""A relay before one server, that notes each request: what it asks for, when it began and ended, and all that was sent.

Figures of time are never taken through it; it is for counting, and for keeping requests to be sent again.
"""

import contextlib
import json
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from urllib.parse import urlsplit

from measure.wire import header, listen, read, wants_closing, with_length


@dataclass
class Exchange:
    """A request that was answered."""

    #: Where it went, as the client knows it.
    server: str
    #: Such as `GetItem`.
    action: str
    began: float
    ended: float
    head: bytes
    body: bytes
    status: int
    answer: bytes


class Relay:
    """Stands before the server at `upstream`. `delay` is what each request waits for, in seconds; `amend` makes another body of
    the answer to an action."""

    def __init__(self, upstream: str, delay: float = 0, amend: Callable[[str, bytes], bytes] | None = None):
        address = urlsplit(upstream)
        self._upstream = (address.hostname, address.port)
        self._name = upstream
        self._delay = delay
        self._amend = amend
        self._lock = threading.Lock()
        self._exchanges: list[Exchange] = []
        self._listener, port = listen(self._converse)
        self.url = f"http://127.0.0.1:{port}"

    def take(self) -> list[Exchange]:
        """What was answered since the last time, in the order of the answers."""
        with self._lock:
            taken, self._exchanges = self._exchanges, []
        return taken

    def close(self) -> None:
        self._listener.close()

    def _converse(self, client: socket.socket) -> None:
        # A connection that breaks is the client's to notice.
        with client, contextlib.suppress(ConnectionError), client.makefile("rb") as requests:
            while request := read(requests):
                began = time.monotonic()
                head, body = request
                action = action_of(head, body)
                time.sleep(self._delay)
                with socket.create_connection(self._upstream) as server, server.makefile("rb") as answers:
                    server.sendall(head + body)
                    answer_head, answer = read(answers)
                if self._amend and (amended := self._amend(action, answer)) != answer:
                    answer_head, answer = with_length(answer_head, len(amended)), amended
                # Before the client has it: what it sends upon that begins later.
                ended = time.monotonic()
                status = int(answer_head.split(b" ", 2)[1])
                # One that is sent to open a connection ahead asks for nothing.
                if not head.startswith(b"GET "):
                    with self._lock:
                        self._exchanges.append(Exchange(self._name, action, began, ended, head, body, status, answer))
                client.sendall(answer_head + answer)
                if wants_closing(answer_head):
                    return


@contextlib.contextmanager
def relays(moto_url: str, dynamodb_url: str, **options) -> Iterator[tuple[dict[str, str], Callable[[], list[Exchange]]]]:
    """Relays before both servers: the settings that lead a function to them, and what takes what they noted, in the order of
    the requests."""
    both = [Relay(moto_url, **options), Relay(dynamodb_url, **options)]
    try:
        environment = {"AWS_ENDPOINT_URL": both[0].url, "AWS_ENDPOINT_URL_DYNAMODB": both[1].url}
        yield environment, lambda: sorted((each for relay in both for each in relay.take()), key=lambda done: done.began)
    finally:
        for relay in both:
            relay.close()


def depth(exchanges: list[Exchange]) -> int:
    """The most requests of which each began after the one before it was answered."""
    count, ended = 0, float("-inf")
    # The one that ends first leaves room for the most after it.
    for exchange in sorted(exchanges, key=lambda done: done.ended):
        if exchange.began >= ended:
            count, ended = count + 1, exchange.ended
    return count


def depth_until(exchanges: list[Exchange], action: str) -> int | None:
    """The depth up to the answer to the first `action`; nothing where there was none."""
    last = next((done for done in exchanges if done.action == action), None)
    return last and depth([done for done in exchanges if done.ended <= last.began] + [last])


def counts(exchanges: list[Exchange]) -> str:
    """How often each action was asked for."""
    return ", ".join(f"{action} {count}" for action, count in sorted(Counter(done.action for done in exchanges).items()))


def action_of(head: bytes, body: bytes) -> str:
    """What a request asks for: the last part of its target, or its form's action."""
    if target := header(head, b"x-amz-target"):
        return target.rsplit(b".", 1)[-1].decode()
    for part in body.split(b"&"):
        if part.startswith(b"Action="):
            return part.removeprefix(b"Action=").decode()
    return json.dumps(head.split(b"\r\n")[0].decode())
