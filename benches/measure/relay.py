"""A relay for one server that records each request: its action, when it began and ended, and its bytes.

Times are never measured through it. It counts requests and records them to be sent again.
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
    """An answered request."""

    #: Its destination, as the client knows it.
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
    """A relay for the server at `upstream`. `delay` is the delay of each request in seconds; `amend` changes the
    body of the answer to an action."""

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
        """The requests answered since the last call, in the order of the answers."""
        with self._lock:
            taken, self._exchanges = self._exchanges, []
        return taken

    def close(self) -> None:
        self._listener.close()

    def _converse(self, client: socket.socket) -> None:
        # The client notices a broken connection itself.
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
                # Recorded before the client receives it, so that its next request begins later.
                ended = time.monotonic()
                status = int(answer_head.split(b" ", 2)[1])
                # A request that only opens a connection ahead of time has no action.
                if not head.startswith(b"GET "):
                    with self._lock:
                        self._exchanges.append(Exchange(self._name, action, began, ended, head, body, status, answer))
                client.sendall(answer_head + answer)
                if wants_closing(answer_head):
                    return


@contextlib.contextmanager
def relays(moto_url: str, dynamodb_url: str, **options) -> Iterator[tuple[dict[str, str], Callable[[], list[Exchange]]]]:
    """Relays for both servers. Yields the settings that make a function use them, and a function that takes the
    recorded requests in order."""
    both = [Relay(moto_url, **options), Relay(dynamodb_url, **options)]
    try:
        environment = {"AWS_ENDPOINT_URL": both[0].url, "AWS_ENDPOINT_URL_DYNAMODB": both[1].url}
        yield environment, lambda: sorted((each for relay in both for each in relay.take()), key=lambda done: done.began)
    finally:
        for relay in both:
            relay.close()


def depth(exchanges: list[Exchange]) -> int:
    """The longest chain of requests in which each began after the previous one was answered."""
    count, ended = 0, float("-inf")
    # Taking the one that ends first leaves the most room for later ones.
    for exchange in sorted(exchanges, key=lambda done: done.ended):
        if exchange.began >= ended:
            count, ended = count + 1, exchange.ended
    return count


def depth_until(exchanges: list[Exchange], action: str) -> int | None:
    """The depth up to the answer to the first `action`, or nothing if there was none."""
    last = next((done for done in exchanges if done.action == action), None)
    return last and depth([done for done in exchanges if done.ended <= last.began] + [last])


def counts(exchanges: list[Exchange]) -> str:
    """How often each action was requested."""
    return ", ".join(f"{action} {count}" for action, count in sorted(Counter(done.action for done in exchanges).items()))


def action_of(head: bytes, body: bytes) -> str:
    """The action of a request: the last part of its target, or its form's action."""
    if target := header(head, b"x-amz-target"):
        return target.rsplit(b".", 1)[-1].decode()
    for part in body.split(b"&"):
        if part.startswith(b"Action="):
            return part.removeprefix(b"Action=").decode()
    return json.dumps(head.split(b"\r\n")[0].decode())
