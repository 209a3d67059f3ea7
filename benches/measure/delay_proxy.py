"""A proxy in front of moto, in its own process, that makes one Python server behave more like IAM.

It delays answers as configured and records the bodies of requests, so that they can be counted and
sent again. It caches moto's answers about single users and keys: IAM is not a single process that
needs milliseconds for each call, and the clients are what is measured. Moto answers requests about
all users each time. The proxy adds to moto's credential report what AWS's report always has: root's
row and the time of generation.

`GET /delay/20` delays later answers by 20 ms; `GET /bodies` returns and clears the bodies so far.
"""

import asyncio
import base64
import contextlib
import json
import re
import sys
import urllib.request
from collections.abc import Iterator
from datetime import UTC, datetime
from urllib.parse import parse_qsl, urlsplit

from measure.servers import free_port, running, until_it_listens
from measure.wire import header, read_async

ROOT = (
    b"<root_account>,arn:aws:iam::123456789012:root,2015-01-01T00:00:00+00:00,not_supported,no_information,not_supported,"
    b"not_supported,true,false,N/A,N/A,N/A,N/A,false,N/A,N/A,N/A,N/A,false,N/A,false,N/A\n"
)


class DelayProxy:
    """The proxy as its starter sees it."""

    def __init__(self, url: str):
        self.url = url

    def delay(self, ms: int) -> None:
        urllib.request.urlopen(f"{self.url}/delay/{ms}").read()

    def take_bodies(self) -> list[str]:
        return json.load(urllib.request.urlopen(f"{self.url}/bodies"))


@contextlib.contextmanager
def delay_proxy(upstream: str) -> Iterator[DelayProxy]:
    """A proxy for the server at `upstream` while the block runs."""
    port = free_port()
    with running([sys.executable, "-m", "measure.delay_proxy", str(port), upstream], "delay_proxy"):
        until_it_listens(port)
        yield DelayProxy(f"http://127.0.0.1:{port}")


class Proxy:
    def __init__(self, upstream: str):
        self.upstream = urlsplit(upstream)
        self.delay_seconds = 0.0
        self.bodies: list[str] = []
        self.kept: dict[frozenset, bytes] = {}

    async def converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.closing(writer), contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                head, body = await read_async(reader)
                answer = self.told(head) if head.startswith(b"GET") else await self.answer(head, body)
                writer.write(answer)

    def told(self, head: bytes) -> bytes:
        """Handles the requests of its starter."""
        path = head.split()[1].decode()
        if path.startswith("/delay/"):
            self.delay_seconds = int(path.removeprefix("/delay/")) / 1000
        bodies = self.bodies if path == "/bodies" else []
        if bodies:
            self.bodies = []
        return _response(b"200", b"application/json", json.dumps(bodies).encode())

    async def answer(self, head: bytes, body: bytes) -> bytes:
        text = body.decode()
        self.bodies.append(text)
        asked = frozenset(parse_qsl(text))
        kept = self.kept.get(asked)
        if self.delay_seconds:
            await asyncio.sleep(self.delay_seconds)
        if kept:
            return kept
        status, kind, answered = await self.forward(head, body)
        if ("Action", "GetCredentialReport") in asked and status == b"200":
            answered = _whole_report(answered)
        answer = _response(status, kind, answered)
        if status == b"200" and _is_kept(dict(asked)):
            self.kept[asked] = answer
        return answer

    async def forward(self, head: bytes, body: bytes) -> tuple[bytes, bytes, bytes]:
        """Status, content type and body of moto's answer."""
        reader, writer = await asyncio.open_connection(self.upstream.hostname, self.upstream.port)
        with contextlib.closing(writer):
            writer.write(head.replace(b"\r\n", b"\r\nConnection: close\r\n", 1) + body)
            answer_head, answered = await read_async(reader)
        return answer_head.split()[1], header(answer_head, b"content-type") or b"text/xml", answered


def _is_kept(asked: dict[str, str]) -> bool:
    is_about_one = "UserName" in asked or "AccessKeyId" in asked
    return is_about_one and asked["Action"].startswith(("Get", "List"))


def _response(status: bytes, kind: bytes, body: bytes) -> bytes:
    return b"HTTP/1.1 %s Answer\r\nContent-Type: %s\r\nContent-Length: %d\r\n\r\n%s" % (status, kind, len(body), body)


def _whole_report(answered: bytes) -> bytes:
    before, content, after = re.split(rb"<Content>|</Content>", answered)
    report = base64.b64encode(base64.b64decode(content) + ROOT)
    now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ").encode()
    after = re.sub(rb"(?<=<GeneratedTime>)[^<]*", now, after)
    before = re.sub(rb"(?<=<GeneratedTime>)[^<]*", now, before)
    return before + b"<Content>" + report + b"</Content>" + after


async def serve(port: int, upstream: str) -> None:
    # An answer may be long: a list of all users.
    server = await asyncio.start_server(Proxy(upstream).converse, "127.0.0.1", port, limit=2**20)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(serve(int(sys.argv[1]), sys.argv[2]))
