"""The machine and the sources of the figures."""

import os
import platform
import subprocess
from datetime import UTC, datetime
from pathlib import Path

from measure.programs import REPOSITORY


def facts(section: str) -> dict[str, str]:
    """The facts below a section: command, date, commit, machine."""
    return {
        "command": f"`benches/run {section}`",
        "measured": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "commit": _commit(),
        "machine": f"{_processor()}, {os.cpu_count()} cores, {_memory()}, {platform.system()} {platform.release()}",
    }


def _commit() -> str:
    def git(*arguments: str) -> str:
        # Without a repository there is no commit, and the page says so.
        ended = subprocess.run(["git", *arguments], check=False, cwd=REPOSITORY, capture_output=True, text=True)
        return ended.stdout.strip()

    changed = git("status", "--porcelain", "--untracked-files=no", "--", ".", ":!BENCHMARKS.md")
    return (git("rev-parse", "--short", "HEAD") or "none") + (" and changes not committed" if changed else "")


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.split(":", 1)[1].strip()
    return platform.machine()


def _memory() -> str:
    return f"{os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') / 2**30:.0f} GiB"
