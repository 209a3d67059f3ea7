"""Sends raw calls over a few persistent connections: the minimum for any client. Also creates users."""

import asyncio
import contextlib
import time
from collections.abc import Iterator
from urllib.parse import urlencode, urlsplit

from measure.servers import CREDENTIALS, REGION
from measure.wire import read_async

CONNECTIONS = 8


def body(action: str, **parameters: str) -> str:
    """The body of a call to IAM."""
    return urlencode({"Action": action, "Version": "2010-05-08", **parameters})


def send(url: str, bodies: list[str]) -> tuple[float, list[str]]:
    """Sends calls to IAM in parallel. Returns the seconds and the answers in the order of the calls."""
    return asyncio.run(_send(url, bodies))


async def _send(url: str, bodies: list[str]) -> tuple[float, list[str]]:
    answers = [""] * len(bodies)
    calls = iter(enumerate(bodies))
    began = time.monotonic()
    await asyncio.gather(*(_connection(url, calls, answers) for _ in range(CONNECTIONS)))
    return time.monotonic() - began, answers


async def _connection(url: str, calls: Iterator[tuple[int, str]], answers: list[str]) -> None:
    address = urlsplit(url)
    reader, writer = await asyncio.open_connection(address.hostname, address.port, limit=2**20)
    with contextlib.closing(writer):
        for place, text in calls:
            service = "sts" if "Action=GetCallerIdentity" in text else "iam"
            head = (
                f"POST / HTTP/1.1\r\nHost: {address.netloc}\r\nContent-Length: {len(text)}\r\n"
                "Content-Type: application/x-www-form-urlencoded\r\n"
                # moto reads only the service from it.
                f"Authorization: AWS4-HMAC-SHA256 Credential={CREDENTIALS['AWS_ACCESS_KEY_ID']}/20260101/{REGION}/{service}/"
                "aws4_request, SignedHeaders=host, Signature=none\r\n\r\n"
            )
            writer.write(f"{head}{text}".encode())
            answer_head, answer = await read_async(reader)
            answers[place] = answer.decode()
            if answer_head.split()[1] != b"200":
                raise RuntimeError(f"`{text}` failed: {answers[place]}")
