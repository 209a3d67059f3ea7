"""Stands between a client and servers as the network and TLS would: a certificate, and the time that bytes take."""

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


@dataclass
class Network:
    """How far the servers are away."""

    #: From a byte's sending to its arrival, half a round trip.
    one_way_seconds: float
    #: Whether opening a TCP connection takes a round trip too. The kernel's loopback takes none.
    tcp_takes_a_round_trip: bool


@dataclass
class Proxies:
    """The proxies that were started."""

    #: The proxy's URL by service.
    urls: dict[str, str]
    #: What a client has to trust: the certificate's maker, beside all that a system trusts.
    trusted: Path
    _accepted: Connection

    def accepted(self, patience_seconds: float = 30) -> float:
        """When the topic next took an alert, as `time.monotonic()` has it at the server."""
        if not self._accepted.poll(patience_seconds):
            raise RuntimeError(f"no alert was published within {patience_seconds} s")
        return self._accepted.recv()


@contextlib.contextmanager
def proxies(servers: dict[str, str], network: Network) -> Iterator[Proxies]:
    """A proxy for each service, before the server at its URL, in a process of their own."""
    maker = trustme.CA()
    folder = KEPT / "tls"
    folder.mkdir(parents=True, exist_ok=True)
    maker.issue_cert("localhost").private_key_and_cert_chain_pem.write_to_path(folder / "server.pem")
    # As long as the bundle of a Lambda function's system, so that reading it takes as long.
    trusted = folder / "trusted.pem"
    trusted.write_bytes(Path(certifi.where()).read_bytes() + maker.cert_pem.bytes())
    ours, theirs = multiprocessing.Pipe()
    process = multiprocessing.Process(target=_run, args=[servers, network, folder / "server.pem", theirs], daemon=True)
    process.start()
    try:
        yield Proxies(ours.recv(), trusted, ours)
    finally:
        process.kill()
        process.join()


def _run(servers: dict[str, str], network: Network, certificate: Path, told: Connection) -> None:
    asyncio.run(_serve(servers, network, certificate, told))


async def _serve(servers: dict[str, str], network: Network, certificate: Path, told: Connection) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    urls = {}
    for service, url in servers.items():
        upstream = urlsplit(url).hostname, urlsplit(url).port

        async def unpack(reader, writer, upstream=upstream):
            await _join(reader, writer, upstream, told)

        inner = await asyncio.start_server(unpack, "127.0.0.1", 0, ssl=context)
        inside = inner.sockets[0].getsockname()[:2]

        async def delay(reader, writer, inside=inside):
            await _delayed(reader, writer, inside, network)

        outer = await asyncio.start_server(delay, "127.0.0.1", 0)
        urls[service] = f"https://localhost:{outer.sockets[0].getsockname()[1]}"
    told.send(urls)
    await asyncio.Event().wait()


async def _join(reader, writer, upstream, told: Connection) -> None:
    """Hands on what comes, and tells when a `Publish` is answered."""
    up_reader, up_writer = await asyncio.open_connection(*upstream)
    asked = b""

    async def requests():
        nonlocal asked
        while data := await reader.read(65536):
            asked += data
            up_writer.write(data)
        up_writer.close()

    async def answers():
        nonlocal asked
        while data := await up_reader.read(65536):
            if b"Action=Publish" in asked:
                told.send(time.monotonic())
            asked = b""
            writer.write(data)
        writer.close()

    await asyncio.gather(requests(), answers(), return_exceptions=True)


async def _delayed(reader, writer, inside, network: Network) -> None:
    """Hands on what comes, later."""
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
            # What comes before the connection is open waits for that.
            loop.call_at(max(loop.time(), free_at) + network.one_way_seconds, send, data)
            if not data:
                return

    await asyncio.gather(pump(reader, in_writer, opens), pump(in_reader, writer, 0), return_exceptions=True)
