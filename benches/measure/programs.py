"""What is measured, built; and what it is measured beside, fetched from package registries."""

import functools
import os
import subprocess
import sys
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
TARGET = Path(os.environ["CARGO_TARGET_DIR"])
PEERS = REPOSITORY / "benches" / "peers"
#: Where the benchmarks keep what they fetch and write.
KEPT = TARGET / "benches"
VENV = Path(sys.prefix)


class Missing(Exception):
    """A peer that cannot be had here. The page says so."""


def run(*command: str | Path, **options) -> str:
    """Runs `command` and answers with what it prints. What it says to people goes to ours."""
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
    """The sweeper, likewise."""
    return _function("sweeper")


def _function(name: str) -> Path:
    run(
        "cargo", "build", "--release", "--locked", "--no-default-features", "--features", "lambda", "--bin", name,
        cwd=REPOSITORY,
    )  # fmt: skip
    return TARGET / "release" / name


@functools.cache
def bare() -> Path:
    """The floor of a function's start: a program that has the Lambda runtime and nothing else."""
    manifest = REPOSITORY / "benches" / "bare" / "Cargo.toml"
    run("cargo", "build", "--release", "--locked", "--manifest-path", manifest)
    return TARGET / "release" / "bare"


@functools.cache
def version(*command: str | Path) -> str:
    """The first line of what a program says of itself."""
    return run(*command).splitlines()[0].strip()
