"""The in-process cost of one event and one record: `benches/in_process.rs`, put on the page."""

from dataclasses import dataclass, field

from measure.page import Section, Table
from measure.programs import REPOSITORY, run


@dataclass
class Benchmark:
    """The medians of one benchmark, as divan prints them."""

    name: str
    time: str
    fastest: str
    throughput: list[str] = field(default_factory=list)
    #: The number and the size of allocations in one run; nothing if there were none.
    allocations: list[str] = field(default_factory=list)


def measure() -> Section:
    printed = run("cargo", "bench", "--locked", "--bench", "in_process", cwd=REPOSITORY)
    rows = [
        [one.name, one.time, one.fastest, ", ".join(one.throughput), " of ".join(one.allocations) or "none"] for one in _read(printed)
    ]
    return Section(
        "in_process",
        "In the process",
        "Single functions measured with divan in a release build: parsing, reading and deciding on a record, and splitting, searching "
        "and counting a log of 4,000 records in memory. Allocations are those of one run, with their bytes.",
        [Table("Medians", ["", "time", "fastest", "throughput", "allocations"], rows)],
    )


def _read(printed: str) -> list[Benchmark]:
    """Reads divan's tree: a line per benchmark, followed by unnamed lines with throughput and allocations."""
    lines = printed.splitlines()
    begin, header = next((place, line) for place, line in enumerate(lines) if "fastest" in line)
    column = header.index("fastest")
    benchmarks: list[Benchmark] = []
    group = about = ""
    for line in lines[begin + 1 :]:
        name = line[:column].strip(" │├╰─")
        cells = [cell.strip() for cell in line[column:].split("│")]
        if len(cells) < 3:
            continue
        fastest, _, middle, *_ = cells
        if name and not fastest:
            group = name
        elif name:
            is_in_group = not line.startswith(("├", "╰"))
            benchmarks.append(Benchmark(f"{group}: {name}" if is_in_group else name, middle, fastest))
            about = ""
        elif fastest.endswith("/s"):
            benchmarks[-1].throughput.append(middle)
        elif fastest.endswith(":"):
            about = fastest
        elif about == "alloc:":
            benchmarks[-1].allocations.append(middle)
    return benchmarks
