"""Measures the named sections, or all, and writes the page from the latest figures."""

import argparse
import importlib
import sys
import time

from measure import machine, page
from measure.programs import REPOSITORY, TARGET

#: In the order of the page.
SECTIONS = ["cold", "event", "scan", "replay", "in_process", "cost"]


def main() -> None:
    parser = argparse.ArgumentParser(prog="benches/run", description=__doc__)
    parser.add_argument("sections", nargs="*", metavar="section", help=f"of {', '.join(SECTIONS)}; all if none is named")
    wanted = parser.parse_args().sections or SECTIONS
    unknown = [name for name in wanted if name not in SECTIONS]
    if unknown:
        parser.error(f"there is no section `{unknown[0]}`; there are {', '.join(SECTIONS)}")

    folder = TARGET / "benches" / "figures"
    for name in [name for name in SECTIONS if name in wanted]:
        print(f"== {name}", file=sys.stderr, flush=True)
        began = time.monotonic()
        section = importlib.import_module(f"measure.{name}").measure()
        section.measured = machine.facts(name) | section.measured | {"took": f"{time.monotonic() - began:.0f} s"}
        page.keep(section, folder)
        for goal in section.goals:
            print(f"{'met' if goal.met else 'NOT MET'}: {goal.what}: {goal.measured} ({goal.goal})", file=sys.stderr)
        sections = [section for name in SECTIONS if (section := page.kept(name, folder))]
        (REPOSITORY / "BENCHMARKS.md").write_text(page.render(sections))


if __name__ == "__main__":
    main()
