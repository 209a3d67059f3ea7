"""The events per second of one process, in batches of ten for ten users, compared with its peers."""

from dataclasses import dataclass

from measure import paths, relay
from measure.functions import CUSTODIAN, DETECTOR, HANDLER, start, tell
from measure.world import World, batch, tens

EVENTS = 100
TOLD_OF = [paths.NO_CHANGE, paths.OPEN]


@dataclass
class Rate:
    """One function's result for the events of one path."""

    function: str
    path: str
    per_second: float
    requests: float
    processor_ms: float


def rates(world: World) -> list[Rate]:
    """Each function's rate on each path. Their batches alternate, so that all see the same machine load."""
    names = [DETECTOR, HANDLER, CUSTODIAN]
    stories = {name: paths.stories(world, EVENTS) for name in names}
    functions = {name: start(name, world) for name in names}
    try:
        seconds, processor = {}, {}
        for path in [paths.FIRST, *TOLD_OF]:
            batches = {name: tens(paths.events(stories[name], path)) for name in names}
            before = {name: functions[name].processor_seconds() for name in names}
            for name in names * (EVENTS // 10):
                took = tell(functions[name], next(batches[name])).seconds
                seconds[name, path] = seconds.get((name, path), 0) + took
            for name in names:
                processor[name, path] = functions[name].processor_seconds() - before[name]
    finally:
        for function in functions.values():
            function.__exit__()
    requests = {name: _requests(world, name) for name in names}
    return [
        Rate(name, path, EVENTS / seconds[name, path], requests[name][path], processor[name, path] * 1000 / EVENTS)
        for path in TOLD_OF
        for name in names
    ]


def _requests(world: World, name: str) -> dict[str, float]:
    """How many requests an event causes on each path."""
    stories = paths.stories(world, 10)
    counted = {}
    with relay.relays(world.moto_url, world.dynamodb_url) as (environment, take), start(name, world, environment) as function:
        for path in [paths.FIRST, *TOLD_OF]:
            events = paths.events(stories, path)
            take()
            tell(function, batch(events))
            counted[path] = len(take()) / len(events)
    return counted


def listings_of_many(world: World, *, at_once: bool) -> tuple[int, int]:
    """How many listings, and requests in total, a thousand events about ten users cause: in one invocation, or
    in batches of ten, each about all of the users."""
    stories = paths.stories(world, 10)
    for story in stories:
        story.go(paths.FIRST)
    events = [story.go(paths.NO_CHANGE) for _ in range(100) for story in stories]
    with relay.relays(world.moto_url, world.dynamodb_url) as (environment, take), start(DETECTOR, world, environment) as function:
        for payload in [batch(events)] if at_once else tens(events):
            tell(function, payload)
        exchanges = take()
    return sum(done.action == "ListAccessKeys" for done in exchanges), len(exchanges)


