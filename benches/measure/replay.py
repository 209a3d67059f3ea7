"""`secondkey replay` on logs as stored in S3, compared with tools that search them and that parse them."""

import json
import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from measure.logs import Logs, written
from measure.page import Goal, Section, Table
from measure.processes import Process, measured, median
from measure.programs import VENV, Missing, run, secondkey, version

SIZES_GB = [1, 5]
RUNS = 3
#: One in so many records changes a key, in logs of this size, and in logs with a million key changes.
ONE_CHANGE_IN = [1_000, 20, 6]
DENSE_GB = 0.6
MANY_GB = 8.5
#: jq reads this much of the logs, and its time is scaled.
SAMPLE_GB = 0.2
CHANGES = ["CreateAccessKey", "UpdateAccessKey", "DeleteAccessKey", "UpdateUser", "DeleteUser"]
PATTERN = f'"eventName":"({"|".join(CHANGES)})"'
JQ = f"[inputs | .Records[] | select(.eventName | IN({','.join(json.dumps(name) for name in CHANGES)}))] | length"
DUCKDB = """
import sys, duckdb
duckdb.execute("SET enable_progress_bar = false")
names, paths = sys.argv[1].split(","), sys.argv[2:]
logs = "read_json(?, columns = {Records: 'STRUCT(eventName VARCHAR)[]'}, maximum_object_size = 67108864)"
records = f"SELECT unnest(Records).eventName AS name FROM {logs}"
print(duckdb.execute(f"SELECT count(*) FROM ({records}) WHERE list_contains(?, name)", [paths, names]).fetchone()[0])
"""
COLUMNS = ["", "seconds", "GB/s", "cores at work", "peak memory", "key changes"]

# Why goals may be missed.
TWO_LOOKS = (
    "the logs are read twice: for the key changes, then for what the keys of the affected users signed; until the first look "
    "has ended, those keys are not known"
)
EACH_CHANGE = (
    "each change is decided, hashed and written to the trail as an event of its own; in a profile, the time is spread over the "
    "allocations of records, views and entries, and a quarter of it is the allocator"
)


def measure() -> Section:
    section = Section(
        "replay",
        "Replay",
        "`secondkey replay FOLDER --quiet --format json` on CloudTrail logs as stored in S3: files of 3,000 records, 4.4 MB of JSON "
        "each. One record in a thousand changes a key, and one in a hundred only mentions `AccessKey`. A GB is 10⁹ bytes of "
        "unpacked JSON. Whole processes are measured: for secondkey with its start, the pipeline and the store. Figures are "
        f"medians of {RUNS} runs unless noted, with all files in the page cache. Memory is the peak of the process or one of its "
        "children. Programs that report the number of key changes must report the right one.",
    )
    gzipped = {size: _gzipped(size, section) for size in SIZES_GB}
    one_core = _plain(section)
    many = _many_changes(section)
    faster = min(rg.seconds / ours.seconds for ours, rg in gzipped.values())
    ours, _ = gzipped[SIZES_GB[-1]]
    cores = os.cpu_count() or 1
    section.goals = [
        Goal.at_least("Replay: JSON read by one core, plain files", one_core, 1.0, "{:.2f} GB/s", why=TWO_LOOKS),
        Goal.at_least("Replay: gzipped logs, times as fast as `rg -z`", faster, 2.0, why=TWO_LOOKS),
        Goal.at_least("Replay: cores at work, gzipped logs", ours.processor_seconds / ours.seconds, 0.75 * cores),
        Goal.at_most(
            f"Replay: peak memory, {SIZES_GB[0]} to {SIZES_GB[-1]} GB", max(ours.peak_mib for ours, _ in gzipped.values()), 64, "{:.0f} MiB"
        ),
    ]
    section.goals += many
    section.measured = {
        "gzip": version("gzip", "--version"),
        "rg": version(_rg(), "--version"),
        "duckdb": run(VENV / "bin" / "python", "-c", "import duckdb; print(duckdb.__version__)").strip(),
    }
    return section


def _gzipped(size: int, section: Section) -> tuple[Process, Process]:
    """secondkey and `rg -z`."""
    logs = written(size, gzipped=True)
    paths = _warm(logs)
    table = Table(f"{logs.json_bytes / 1e9:.1f} GB in {logs.files} gzipped files ({logs.disk_bytes / 1e6:.0f} MB)", COLUMNS, [])
    section.tables.append(table)
    ours = _ours(table, logs)
    _row(table, logs, "`gzip -dc` to nowhere, one after another", _runs(["gzip", "-dc", *paths], to_nowhere=True))
    pairs = ["sh", "-c", 'printf "%s\\0" "$@" | xargs -0 -P 2 -n 8 gzip -dc', "sh", *paths]
    _row(table, logs, "`gzip -dc` to nowhere, two side by side", _runs(pairs, to_nowhere=True))
    rg = _row(table, logs, "`rg -z -c AccessKey`", _runs([_rg(), "-z", "-c", "AccessKey", logs.folder]))
    if size == SIZES_GB[0]:
        counted = [_rg(), "-z", "--count-matches", "--no-filename", PATTERN, logs.folder]
        _row(table, logs, "`rg -z --count-matches` of the five event names", _runs(counted), _sum)
        _try(section, "jq", lambda: _jq(table, logs, paths))
        _try(section, "DuckDB", lambda: _duckdb(table, logs, paths))
    return ours, rg


def _plain(section: Section) -> float:
    """The GB of JSON that one core reads per second."""
    logs = written(SIZES_GB[0], gzipped=False)
    _warm(logs)
    table = Table(f"{logs.json_bytes / 1e9:.1f} GB in {logs.files} plain files", COLUMNS, [])
    section.tables.append(table)
    _ours(table, logs)
    one_core = _ours(table, logs, "secondkey on one core", "taskset", "-c", "0")
    _row(table, logs, "`rg -c AccessKey`", _runs([_rg(), "-c", "AccessKey", logs.folder]))
    return logs.json_bytes / 1e9 / one_core.seconds


def _many_changes(section: Section) -> list[Goal]:
    """Logs with an increasing share of key changes."""
    columns = ["of the records change a key", "key changes", "seconds", "`gzip -dc`: s", "ratio", "peak memory"]
    table = Table(f"{DENSE_GB} GB, gzipped, with many key changes", columns, [])
    section.tables.append(table)
    section.notes.append(
        "In the logs with many changes, 5,000 users take turns: each rotates its key, or creates one and deletes it. Nearly three "
        "in ten of the changes end in a finding, and all findings are printed."
    )
    ratios, memory, rates, few = [], [], [], None
    for gb, one_change_in in [*((DENSE_GB, one) for one in ONE_CHANGE_IN), (MANY_GB, ONE_CHANGE_IN[-1])]:
        logs = written(gb, gzipped=True, one_change_in=one_change_in)
        paths = _warm(logs)
        ours = median(_runs([secondkey(), "replay", logs.folder, "--quiet", "--format", "json"], exits=(10,)))
        floor = median(_runs(["gzip", "-dc", *paths], to_nowhere=True))
        found = json.loads(ours.output)["summary"]["key_changes"]
        if found != logs.changes:
            raise RuntimeError(f"secondkey found {found} key changes of {logs.changes}")
        ratio = ours.seconds / floor.seconds
        table.rows.append(
            [f"{1 / one_change_in:.1%}", f"{found:,}", f"{ours.seconds:.2f}", f"{floor.seconds:.2f}", f"{ratio:.2f}", f"{ours.peak_mib:.0f} MiB"]
        )
        ratios.append(ratio)
        memory.append(ours.peak_mib)
        few = few or ours
        if gb == DENSE_GB and found > 10_000:
            rates.append(found / (ours.seconds - few.seconds))
    return [
        Goal.at_most("Replay: compared with `gzip -dc`, up to 17 % key changes", max(ratios), 2.0, "{:.2f} ×", why=EACH_CHANGE),
        Goal.at_least("Replay: key changes per second, compared with logs with few", min(rates), 40_000, "{:,.0f}", why=EACH_CHANGE),
        Goal.at_most("Replay: peak memory at a million key changes", max(memory), 64, "{:.0f} MiB"),
    ]


def _ours(table: Table, logs: Logs, name: str = "secondkey", *before: str) -> Process:
    # 10: there are findings.
    runs = _runs([*before, secondkey(), "replay", logs.folder, "--quiet", "--format", "json"], exits=(10,))
    summary = json.loads(runs[0].output)["summary"]
    if (summary["records"], summary["malformed"]) != (logs.records, 0):
        raise RuntimeError(f"secondkey read something else than was written: {summary}")
    return _row(table, logs, name, runs, lambda output: json.loads(output)["summary"]["key_changes"])


def _jq(table: Table, logs: Logs, paths: list[Path]) -> None:
    if not shutil.which("jq"):
        raise Missing("jq is not installed")
    share = SAMPLE_GB * 1e9 / logs.json_bytes
    files = max(1, round(share * logs.files))
    command = ["sh", "-c", f"gzip -dc \"$@\" | jq -n '{JQ}'", "sh", *paths[:files]]
    sample = replace(logs, changes=logs.changes * files // logs.files)
    scale = logs.files / files
    one = measured(*command)
    one = Process(one.seconds * scale, one.processor_seconds * scale, one.peak_mib, one.output)
    _row(table, sample, f"`gzip -dc` and {version('jq', '--version')} (one run of a part, scaled)", [one], int)


def _duckdb(table: Table, logs: Logs, paths: list[Path]) -> None:
    command = [VENV / "bin" / "python", "-c", DUCKDB, ",".join(CHANGES), *paths]
    _row(table, logs, "DuckDB's `read_json` (one run)", [measured(*command)], int)


def _runs(command: list[str | Path], **options) -> list[Process]:
    return [measured(*command, **options) for _ in range(RUNS)]


def _row(table: Table, logs: Logs, name: str, runs: list[Process], changes: Callable[[str], int] | None = None) -> Process:
    middle = median(runs)
    found = changes(middle.output) if changes else None
    if found not in (None, logs.changes):
        raise RuntimeError(f"{name} found {found} key changes of {logs.changes}")
    table.rows.append(
        [
            name,
            f"{middle.seconds:.2f}",
            f"{logs.json_bytes / 1e9 / middle.seconds:.2f}",
            f"{middle.processor_seconds / middle.seconds:.1f}",
            f"{middle.peak_mib:.0f} MiB",
            "" if found is None else f"{found:,}",
        ]
    )
    return middle


def _try(section: Section, peer: str, run_peer: Callable[[], None]) -> None:
    try:
        run_peer()
    except Missing as missing:
        section.notes.append(f"{peer} is not measured: {missing}")


def _warm(logs: Logs) -> list[Path]:
    """Reads every file once, so that all are in the page cache."""
    paths = logs.paths()
    for path in paths:
        path.read_bytes()
    return paths


def _sum(output: str) -> int:
    return sum(int(line) for line in output.split())


def _rg() -> Path:
    return VENV / "bin" / "rg"
