"""Builds what is measured, and fetches its peers from package registries."""

import functools
import os
import subprocess
import sys
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
TARGET = Path(os.environ["CARGO_TARGET_DIR"])
PEERS = REPOSITORY / "benches" / "peers"
#: Where the benchmarks store what they fetch and write.
KEPT = TARGET / "benches"
VENV = Path(sys.prefix)


class Missing(Exception):
    """A peer that is not available here. The page says so."""


def run(*command: str | Path, **options) -> str:
    """Runs `command` and returns its stdout. Its stderr goes to ours."""
    return subprocess.run([str(part) for part in command], check=True, stdout=subprocess.PIPE, text=True, **options).stdout


@functools.cache
def secondkey() -> Path:
    """The command line, as people install it."""
    run("cargo", "build", "--release", "--locked", "--bin", "secondkey", cwd=REPOSITORY)
    return TARGET / "release" / "secondkey"


@functools.cache
def detector() -> Path:
    """The detector, with the features and the profile it is deployed with."""
    return _function("detector")


@functools.cache
def sweeper() -> Path:
    """The sweeper, built in the same way."""
    return _function("sweeper")


def _function(name: str) -> Path:
    run(
        "cargo", "build", "--release", "--locked", "--no-default-features", "--features", "lambda", "--bin", name,
        cwd=REPOSITORY,
    )  # fmt: skip
    return TARGET / "release" / name


@functools.cache
def bare() -> Path:
    """The floor of a function's start: a program with the Lambda runtime and nothing else."""
    manifest = REPOSITORY / "benches" / "bare" / "Cargo.toml"
    run("cargo", "build", "--release", "--locked", "--manifest-path", manifest)
    return TARGET / "release" / "bare"


@functools.cache
def version(*command: str | Path) -> str:
    """The first line of a program's version output."""
    return run(*command).splitlines()[0].strip()
