"""A proxy between client and servers that simulates the network: TLS, and the delay of bytes."""

import asyncio
import contextlib
import multiprocessing
import ssl
import time
from collections.abc import Iterator
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from urllib.parse import urlsplit

import certifi
import trustme
from measure.programs import KEPT
from measure.wire import read_async, without


@dataclass
class Network:
    """The distance to the servers."""

    #: The delay of each byte: half a round trip.
    one_way_seconds: float
    #: Whether opening a TCP connection takes a round trip too. On loopback it does not.
    tcp_takes_a_round_trip: bool


@dataclass
class Proxies:
    """The running proxies."""

    #: The proxy's URL by service.
    urls: dict[str, str]
    #: The certificates for the client to trust: the proxy's issuer and everything that the system trusts.
    trusted: Path
    _accepted: Connection

    def accepted(self, patience_seconds: float = 30) -> float:
        """When the topic next accepted an alert, by `time.monotonic()` at the server."""
        if not self._accepted.poll(patience_seconds):
            raise RuntimeError(f"no alert was published within {patience_seconds} s")
        return self._accepted.recv()


@contextlib.contextmanager
def proxies(servers: dict[str, str], network: Network) -> Iterator[Proxies]:
    """A proxy for each service, in its own process, because AWS's services do not wait for each other."""
    maker = trustme.CA()
    folder = KEPT / "tls"
    folder.mkdir(parents=True, exist_ok=True)
    certificate = folder / "server.pem"
    maker.issue_cert("localhost").private_key_and_cert_chain_pem.write_to_path(certificate)
    # As large as the bundle in a Lambda function's system, so that reading it takes as long.
    trusted = folder / "trusted.pem"
    trusted.write_bytes(Path(certifi.where()).read_bytes() + maker.cert_pem.bytes())
    running, urls, accepted = [], {}, None
    try:
        for service, url in servers.items():
            ours, theirs = multiprocessing.Pipe()
            process = multiprocessing.Process(target=_run, args=[url, network, certificate, theirs], daemon=True)
            process.start()
            running.append(process)
            urls[service] = ours.recv()
            if service == "SNS":
                accepted = ours
        yield Proxies(urls, trusted, accepted)
    finally:
        for process in running:
            process.kill()
            process.join()


def _run(server: str, network: Network, certificate: Path, told: Connection) -> None:
    asyncio.run(_serve(server, network, certificate, told))


async def _serve(server: str, network: Network, certificate: Path, told: Connection) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    upstream = urlsplit(server).hostname, urlsplit(server).port

    async def unpack(reader, writer):
        await _join(reader, writer, upstream, told)

    inner = await asyncio.start_server(unpack, "127.0.0.1", 0, ssl=context)
    inside = inner.sockets[0].getsockname()[:2]

    async def delay(reader, writer):
        await _delayed(reader, writer, inside, network)

    outer = await asyncio.start_server(delay, "127.0.0.1", 0)
    told.send(f"https://localhost:{outer.sockets[0].getsockname()[1]}")
    await asyncio.Event().wait()


async def _join(reader, writer, upstream, told: Connection) -> None:
    """Answers requests, and reports when a `Publish` is answered. Connections stay open like AWS's, whether or
    not the server's do."""
    with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
        while True:
            head, body = await read_async(reader)
            # A request that only opens a connection ahead of time. AWS's front ends answer it themselves; here
            # one process serves several services and would take milliseconds while the listing waits.
            if head.startswith(b"GET / "):
                writer.write(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")
                continue
            up_reader, up_writer = await asyncio.open_connection(*upstream)
            up_writer.write(head + body)
            answer_head, answer = await read_async(up_reader)
            up_writer.close()
            if b"Action=Publish" in body:
                told.send(time.monotonic())
            writer.write(_kept_open(answer_head) + answer)
    writer.close()


def _kept_open(head: bytes) -> bytes:
    return without(head, b"connection").replace(b"HTTP/1.0", b"HTTP/1.1", 1)


async def _delayed(reader, writer, inside, network: Network) -> None:
    """Forwards what arrives, with a delay."""
    in_reader, in_writer = await asyncio.open_connection(*inside)
    opens = 2 * network.one_way_seconds if network.tcp_takes_a_round_trip else 0

    async def pump(source, sink, first_delay):
        loop = asyncio.get_running_loop()
        free_at = loop.time() + first_delay

        def send(data):
            if data:
                sink.write(data)
            else:
                sink.close()

        while True:
            data = await source.read(65536)
            # Bytes that arrive before the connection is open wait for it.
            loop.call_at(max(loop.time(), free_at) + network.one_way_seconds, send, data)
            if not data:
                return

    await asyncio.gather(pump(reader, in_writer, opens), pump(in_reader, writer, 0), return_exceptions=True)
