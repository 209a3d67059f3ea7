"""The instructions of an event, counted by Valgrind's callgrind, which does not depend on other load."""

import os
import re
import shutil
import signal
import time
from pathlib import Path

from measure import paths
from measure.functions import DETECTOR, start, tell
from measure.programs import KEPT, Missing
from measure.world import World, batch

EVENTS = 10
COUNTED_IN = re.compile(r"^(?:summary|totals): (\d+)", re.MULTILINE)
ENDS_WITHIN_SECONDS = 60


def per_event(world: World) -> dict[str, float]:
    """The instructions of an event on each path: the difference between runs with and without the events."""
    valgrind = shutil.which("valgrind")
    if not valgrind:
        raise Missing("Valgrind is not installed; `apt-get install valgrind` has it")
    told = {path: _counted(world, valgrind, steps) for path, steps in _STEPS.items()}
    return {path: (told[path] - told[before]) / EVENTS for path, before in _AFTER.items()}


#: The events of each user in a run, by its last step.
_STEPS = {
    paths.FIRST: [paths.FIRST],
    paths.NO_CHANGE: [paths.FIRST, paths.NO_CHANGE],
    paths.OPEN: [paths.FIRST, paths.OPEN],
    paths.CLOSE: [paths.FIRST, paths.OPEN, paths.CLOSE],
}
#: The run that lacks the last step.
_AFTER = {paths.NO_CHANGE: paths.FIRST, paths.OPEN: paths.FIRST, paths.CLOSE: paths.OPEN}


def _counted(world: World, valgrind: str, steps: list[str]) -> int:
    """The instructions of a whole run, from the start of the process."""
    out = KEPT / "callgrind.out"
    out.unlink(missing_ok=True)
    stories = paths.stories(world, EVENTS)
    with start(DETECTOR, world, wrap=[valgrind, "--tool=callgrind", f"--callgrind-out-file={out}"]) as function:
        function.init_seconds()
        for step in steps:
            for event in paths.events(stories, step):
                tell(function, batch([event]))
        # Callgrind then writes its counts.
        os.kill(function.pid, signal.SIGTERM)
        return _read(out)


def _read(out: Path) -> int:
    ends = time.monotonic() + ENDS_WITHIN_SECONDS
    while time.monotonic() < ends:
        if out.exists() and (found := COUNTED_IN.findall(out.read_text())):
            return int(found[-1])
        time.sleep(0.1)
    raise RuntimeError("callgrind wrote no sum")
