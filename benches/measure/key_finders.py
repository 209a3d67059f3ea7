"""The programs that find users with two active access keys: runs each once, with its cost and result."""

import json
import os
import subprocess
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from measure.delay_proxy import DelayProxy
from measure.programs import KEPT, PEERS, VENV, secondkey
from measure.servers import CREDENTIALS, REGION

#: The exit code of `secondkey scan` if it found something.
FINDINGS = 10


@dataclass
class Found:
    """The cost and the result of one run."""

    users: set[str]
    seconds: float
    #: The time of the process and its children in user and system mode.
    processor_seconds: float
    #: The bodies of its calls.
    bodies: list[str]


#: Runs a program against a server; the folder is for its output.
Finder = Callable[[DelayProxy], Found]


def scan(mode: str) -> Finder:
    """`secondkey scan` of a new account."""

    def find(server: DelayProxy) -> Found:
        with tempfile.TemporaryDirectory() as folder:
            command = [secondkey(), "scan", "--mode", mode, "--format", "json", "--db", f"{folder}/findings.db"]
            found, out = _timed(command, server, folder, FINDINGS)
        found.users = {finding["user"] for finding in json.loads(out)["findings"]}
        return found

    return find


def custodian(policy: str) -> Finder:
    """Cloud Custodian without its cache, which would answer from the previous run."""

    def find(server: DelayProxy) -> Found:
        with tempfile.TemporaryDirectory() as folder:
            command = [
                VENV / "bin" / "custodian", "run", "-qqq", "--skip-validation", "--cache-period", "0", "--region", REGION,
                "--policies", policy, "--output-dir", folder, PEERS / "custodian.yml",
            ]  # fmt: skip
            found, _ = _timed(command, server, folder)
            resources = json.loads((Path(folder) / policy / "resources.json").read_text())
        found.users = {resource["UserName"] for resource in resources}
        return found

    return find


def loop(most: int) -> Finder:
    """The shell loop, over the first `most` users."""

    def find(server: DelayProxy) -> Found:
        with tempfile.TemporaryDirectory() as folder:
            found, out = _timed([PEERS / "loop.sh", str(most)], server, folder)
        found.users = set(out.split())
        return found

    return find


def _timed(command: list[str | Path], server: DelayProxy, folder: str, code: int = 0) -> tuple[Found, str]:
    """Runs `command`, which must exit with `code`. Returns its cost and its output."""
    environment = {
        "PATH": f"{VENV / 'bin'}:{os.environ['PATH']}",
        "HOME": folder,
        "AWS_ENDPOINT_URL": server.url,
        "AWS_REGION": REGION,
        "AWS_DEFAULT_REGION": REGION,
        "AWS_EC2_METADATA_DISABLED": "true",
        **CREDENTIALS,
    }
    server.take_bodies()
    log = KEPT / "key_finders.log"
    with open(log, "w") as errors, open(f"{folder}/out", "w+") as out:
        began = time.monotonic()
        process = subprocess.Popen([str(part) for part in command], env=environment, stdout=out, stderr=errors)
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.monotonic() - began
        process.returncode = os.waitstatus_to_exitcode(status)
        out.seek(0)
        said = out.read()
    if process.returncode != code:
        raise RuntimeError(f"`{command[0]}` ended with {process.returncode}:\n{log.read_text()}")
    return Found(set(), seconds, usage.ru_utime + usage.ru_stime, server.take_bodies()), said
