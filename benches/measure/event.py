"""One event: round trips, wall time compared with the raw requests, instructions, and events per second."""

import platform
from dataclasses import dataclass
from statistics import median

from measure import functions, instructions, paths, raw, relay, servers, throughput
from measure.functions import CUSTODIAN, DETECTOR, HANDLER, tell
from measure.page import Goal, Section, Table
from measure.paths import Story
from measure.programs import Missing
from measure.relay import Exchange
from measure.world import World, batch

#: How many users' events are timed on each path.
TIMED = 120
#: The delay of each request when round trips are counted: far longer than sending parallel requests takes.
DELAY_SECONDS = 0.1


@dataclass
class Wall:
    """Medians of one path, in milliseconds."""

    path: str
    requests: int
    detector_ms: float
    raw_ms: float

    @property
    def ratio(self) -> float:
        return self.detector_ms / self.raw_ms


def measure() -> Section:
    section = Section(
        "event",
        "Per event",
        "The release build of the detector as a process, invoked through the runtime interface like in Lambda, with "
        "DynamoDB Local for the table and moto for the rest. It alerts the topic and the bus, as when deployed. A user's "
        "events arrive one by one: a key is set to active (no change), a second one is created (open), the same event "
        "arrives again (duplicate), and the second key is deactivated (close).",
        measured={"versions": servers.versions("boto3", "awslambdaric", "c7n")},
    )
    with servers.moto() as moto, servers.dynamodb() as dynamodb:
        world = World(moto, dynamodb)
        _count(section, world)
        _time(section, world)
        _instructions(section, world)
        _throughput(section, world)
    return section


def _count(section: Section, world: World) -> None:
    rows, depths = [], {}
    for name, bus in [(DETECTOR, True), (HANDLER, False)]:
        _, kept = captured(world, name, bus=bus, delay=DELAY_SECONDS)
        for path in paths.MEASURED:
            exchanges = kept[path]
            until_told = relay.depth_until(exchanges, "Publish")
            depths[name, path] = until_told or relay.depth(exchanges)
            in_turn = str(relay.depth(exchanges))
            if until_told:
                in_turn = f"{until_told} until the alert is accepted, {in_turn} in total"
            rows.append([name, path, str(len(exchanges)), in_turn, relay.counts(exchanges)])
    section.tables.append(
        Table("Requests of an event, and how many of them in turn", ["", "path", "requests", "in turn", "which"], rows)
    )
    listings, requests = throughput.listings_of_many(world, at_once=True)
    of_ten, requests_of_ten = throughput.listings_of_many(world, at_once=False)
    section.goals += [
        Goal.at_most("round trips until an opening is accepted", depths[DETECTOR, paths.OPEN], 4, "{:.0f}"),
        Goal.at_most("round trips of an event that changes nothing", depths[DETECTOR, paths.NO_CHANGE], 3, "{:.0f}"),
        Goal.at_most("listings for 1,000 events on 10 users", listings, 30, "{:.0f}"),
    ]
    section.notes.append(
        f"1,000 events on 10 users in one invocation cause {listings} listings and {requests} requests in total. In 100 "
        f"batches of ten, each about all ten users, they cause {of_ten} and {requests_of_ten}: one listing per user and "
        "batch, because batches do not share state."
    )


def captured(world: World, name: str, *, bus: bool = False, **options) -> tuple[Story, dict[str, list[Exchange]]]:
    """A user's story, and the requests of each of its events in the order of sending."""
    (story,) = paths.stories(world, 1)
    kept = {}
    with (
        relay.relays(world.moto_url, world.dynamodb_url, **options) as (environment, take),
        functions.start(name, world, environment, bus=bus) as function,
    ):
        for path in paths.PATHS:
            (event,) = paths.events([story], path)
            tell(function, batch([event]))
            kept[path] = take()
    return story, kept


def _time(section: Section, world: World) -> None:
    walls = _walls(world)
    section.tables.append(
        Table(
            "Wall time of an event, medians",
            ["path", "requests", "detector", "the same requests, raw", "ratio"],
            [
                [wall.path, str(wall.requests), f"{wall.detector_ms:.1f} ms", f"{wall.raw_ms:.1f} ms", f"{wall.ratio:.2f}"]
                for wall in walls
            ],
        )
    )
    worst = max(walls, key=lambda wall: wall.ratio)
    section.goals.append(
        Goal.at_most(
            "wall time of an event, compared with its raw requests",
            worst.ratio,
            1.15,
            "{:.3f}",
            why=f"an event on the path `{worst.path}` takes {worst.detector_ms - worst.raw_ms:.1f} ms more than its requests",
        )
    )
    section.notes.append(
        f"Wall time: {TIMED} users, the detector's events and raw requests about other users in turn. Raw requests are "
        "recorded bytes of the detector with a different user, keys, event IDs and request tokens, so that every write is "
        "new. They are sent one after another over sockets that stay open if the server allows it. The detector sends some "
        "requests in parallel, so a ratio below 1 is possible. Its time includes the runtime interface, from passing the "
        "event to the answer."
    )


def _walls(world: World) -> list[Wall]:
    model, requests = captured(world, DETECTOR, bus=True)
    told, sent = paths.stories(world, TIMED), paths.stories(world, TIMED)
    bare = raw.Bare()
    walls = []
    with functions.start(DETECTOR, world, bus=True) as function:
        for path in paths.PATHS:
            events = paths.events(told, path)
            paths.events(sent, path)
            took = []
            for event, other in zip(events, sent, strict=True):
                own = tell(function, batch([event])).seconds
                took.append((own, raw.seconds(bare, raw.about(requests[path], model, other))))
            own, others = (median(each) * 1000 for each in zip(*took, strict=True))
            walls.append(Wall(path, len(requests[path]), own, others))
    return [wall for wall in walls if wall.path in paths.MEASURED]


def _instructions(section: Section, world: World) -> None:
    try:
        counted = instructions.per_event(world)
    except Missing as missing:
        section.notes.append(f"Instructions are not counted: {missing}.")
        return
    section.tables.append(
        Table(
            "Instructions of an event",
            ["path", "millions"],
            [[path, f"{count / 1e6:.2f}"] for path, count in counted.items()],
        )
    )
    section.notes.append(
        f"Instructions: counted by callgrind for the whole process, as the difference between runs with and without "
        f"{instructions.EVENTS} events on that path, per event. The topic is the only sink."
    )


def _throughput(section: Section, world: World) -> None:
    rates = throughput.rates(world)
    section.tables.append(
        Table(
            "One process, batches of ten messages for ten users",
            ["", "path", "events per second", "requests per event", "processor time per event"],
            [
                [rate.function, rate.path, f"{rate.per_second:.0f}", f"{rate.requests:.1f}", f"{rate.processor_ms:.2f} ms"]
                for rate in rates
            ],
        )
    )
    section.notes.append(
        f"{throughput.EVENTS} events each, the functions' batches in turn, with the topic as the only sink. Events per "
        "second depend mostly on the servers, which take some milliseconds per request. The function's own share is its "
        f"processor time, for the whole process in user and system mode. {HANDLER} and {CUSTODIAN} run on `awslambdaric` and Python "
        f"{platform.python_version()}. {CUSTODIAN} keeps no state: it does not use a table, and reports the same finding for "
        "each event."
    )
