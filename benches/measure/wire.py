"""Raw HTTP, for proxies and stand-ins for servers."""

import asyncio
import socket
import threading
from collections.abc import Callable


def listen(converse: Callable[[socket.socket], None]) -> tuple[socket.socket, int]:
    """Listens on a free port until the socket is closed. `converse` answers each connection in its own thread.
    Returns the socket and the port."""
    listener = socket.create_server(("127.0.0.1", 0), backlog=128)

    def serve() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            threading.Thread(target=converse, args=[connection], daemon=True).start()

    threading.Thread(target=serve, daemon=True).start()
    return listener, listener.getsockname()[1]


def read(stream) -> tuple[bytes, bytes] | None:
    """The head and body of a request or an answer, or nothing at the end of the stream."""
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        line = stream.readline()
        if not line:
            return None
        head += line
    return head, stream.read(int(header(head, b"content-length") or 0))


async def read_async(reader: asyncio.StreamReader) -> tuple[bytes, bytes]:
    """The same for an asynchronous stream. Its end raises `asyncio.IncompleteReadError`."""
    head = await reader.readuntil(b"\r\n\r\n")
    return head, await reader.readexactly(int(header(head, b"content-length") or 0))


def header(head: bytes, name: bytes) -> bytes | None:
    for line in head.split(b"\r\n")[1:]:
        key, _, value = line.partition(b":")
        if key.lower() == name:
            return value.strip()
    return None


def wants_closing(answer_head: bytes) -> bool:
    """Whether the server closes the connection after this answer."""
    connection = (header(answer_head, b"connection") or b"").lower()
    return connection == b"close" or (answer_head.startswith(b"HTTP/1.0") and connection != b"keep-alive")


def without(head: bytes, name: bytes) -> bytes:
    """The head without the header `name`."""
    return b"\r\n".join(line for line in head.split(b"\r\n") if not line.lower().startswith(name + b":"))


def with_length(head: bytes, length: int) -> bytes:
    return without(head, b"content-length").replace(b"\r\n", b"\r\nContent-Length: %d\r\n" % length, 1)
