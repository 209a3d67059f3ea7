"""Measures whole processes from their spawn to their end."""

import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

#: Runs a command and reports on stderr. A separate interpreter, because a child inherits its parent's memory peak.
_LAUNCH = """
import json, os, sys, time
began = time.monotonic()
pid = os.posix_spawnp(sys.argv[1], sys.argv[1:], os.environ)
_, status, usage = os.wait4(pid, 0)
seconds = time.monotonic() - began
json.dump([seconds, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024, os.waitstatus_to_exitcode(status)], sys.stderr)
"""


@dataclass
class Process:
    """The cost of a command, including its children."""

    seconds: float
    processor_seconds: float
    #: The peak memory of the command or one of its children.
    peak_mib: float
    output: str


def measured(*command: str | Path, exits: tuple[int, ...] = (0,), to_nowhere: bool = False) -> Process:
    """Runs `command`, which must exit with one of `exits`."""
    launched = subprocess.run(
        [sys.executable, "-I", "-S", "-c", _LAUNCH, *map(str, command)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL if to_nowhere else subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        check=True,
    )
    said, _, told = launched.stderr.rpartition("[")
    seconds, processor_seconds, peak_mib, exit_code = json.loads(f"[{told}")
    if exit_code not in exits:
        raise RuntimeError(f"{command[0]} ended with {exit_code}: {said}")
    return Process(seconds, processor_seconds, peak_mib, launched.stdout or "")


def median(runs: list[Process]) -> Process:
    """The run with the median time."""
    return sorted(runs, key=lambda run: run.seconds)[len(runs) // 2]
