"""The cost of events and sweeps: measured units, requests and milliseconds at published prices."""

import base64
import math
import re
from dataclasses import dataclass, field, replace
from statistics import median

from measure import functions, paths, prices, programs, relay, servers
from measure.functions import DETECTOR, HANDLER, tell
from measure.page import Section, Table
from measure.relay import Exchange
from measure.runtime_api import Function
from measure.servers import ACCOUNT
from measure.units import Table as Followed
from measure.world import World, batch, message, table_of_template

#: The added delay of each request: about the duration of a call to AWS within a region.
CALL_SECONDS = 0.01
#: How many users' stories are averaged. For milliseconds it is the median, which ignores single slow answers.
STORIES = 10
MEMORY_GB = 0.25
#: EventBridge or a schedule sends a message to the queue; Lambda receives and deletes it.
QUEUE_REQUESTS = 3
#: The sweeper sends ten accounts' messages in one request.
TURN_QUEUE_REQUESTS = 2 + 1 / 10
#: Users per account. Each rotates its key every 90 days: creates one, deactivates the old one, deletes it.
USERS = 100
EVENTS_A_MONTH = USERS * 3 / 3
ROTATION = [paths.OPEN, paths.CLOSE, paths.NO_CHANGE]
HOURS_A_MONTH = 730
CHUNK = 64 * 1024


@dataclass
class Use:
    """The resources that one invocation uses."""

    write_units: float = 0
    read_units: float = 0
    requests: float = 0
    milliseconds: float = 0
    log_bytes: float = 0
    queue_requests: float = 0
    publishes: float = 0
    puts: float = 0

    def __add__(self, other: "Use") -> "Use":
        return Use(*(mine + theirs for mine, theirs in zip(vars(self).values(), vars(other).values(), strict=True)))

    def __truediv__(self, count: float) -> "Use":
        return Use(*(each / count for each in vars(self).values()))

    def dollars(self) -> float:
        return (
            prices.WRITE_UNIT.times(self.write_units)
            + prices.READ_UNIT.times(self.read_units)
            + prices.LAMBDA_REQUEST.times(1)
            + prices.LAMBDA_GB_SECOND.times(self.milliseconds / 1000 * MEMORY_GB)
            + prices.SQS_REQUEST.times(self.queue_requests)
            + prices.SNS_PUBLISH.times(self.publishes)
            + prices.PUT_EVENT.times(self.puts)
            + prices.LOG_BYTE.times(self.log_bytes)
        )

    def cells(self) -> list[str]:
        return [
            f"{self.write_units:.1f}",
            f"{self.read_units:.1f}",
            f"{self.requests:.1f}",
            f"{self.milliseconds:.0f} ms",
            f"{self.log_bytes:.0f}",
        ]


COLUMNS = ["write units", "read units", "requests", "billed", "log bytes"]


@dataclass
class Meter:
    """Measures the resources that a function uses, per invocation."""

    function: Function
    take: object
    queue_requests: float
    table: Followed = field(default_factory=lambda: Followed(table_of_template()["GlobalSecondaryIndexes"]))

    def use(self, payload: dict) -> Use:
        self.take()
        logged = self.function.log.stat().st_size
        seconds = tell(self.function, payload).seconds
        exchanges = self.take()
        write, read = self.table.units(exchanges)
        return Use(
            write_units=write,
            read_units=read,
            requests=len(exchanges),
            # Lambda rounds billed time up to the next millisecond.
            milliseconds=math.ceil(seconds * 1000),
            log_bytes=self.function.log.stat().st_size - logged,
            queue_requests=self.queue_requests + _count(exchanges, "SendMessage") + _count(exchanges, "SendMessageBatch"),
            publishes=sum(math.ceil(len(done.body) / CHUNK) for done in exchanges if done.action == "Publish"),
            puts=sum(math.ceil(len(done.body) / CHUNK) for done in exchanges if done.action == "PutEvents"),
        )


def measure() -> Section:
    section = Section(
        "cost",
        "What it costs",
        f"One event per invocation, a function with 256 MB on arm64, and prices in {prices.REGION} as of {prices.AS_OF}, without "
        f"free tiers. Every request is delayed by {CALL_SECONDS * 1000:.0f} ms in addition to the server's own time, about the "
        "duration of a call to AWS, so that billed time is realistic although the servers are on loopback. DynamoDB's units are "
        "calculated from the items in the requests by the developer guide's rules, including indexes.",
        measured={"versions": servers.versions("boto3", "awslambdaric")},
    )
    with servers.moto() as moto, servers.dynamodb() as dynamodb:
        world = World(moto, dynamodb)
        variants = {
            f"{DETECTOR}, topic and bus": _events(world, DETECTOR, bus=True),
            f"{DETECTOR}, topic": _events(world, DETECTOR),
            f"{HANDLER}, topic": _events(world, HANDLER),
        }
    with servers.moto() as moto, servers.dynamodb() as dynamodb:
        sweeps = _sweeps(World(moto, dynamodb))
    _show(section, variants, sweeps)
    return section


def _events(world: World, name: str, *, bus: bool = False) -> dict[str, Use]:
    """The mean resources of an event on each path."""
    used: dict[str, list[Use]] = {path: [] for path in paths.PATHS}
    stories = paths.stories(world, STORIES)
    with (
        relay.relays(world.moto_url, world.dynamodb_url, delay=CALL_SECONDS) as (environment, take),
        functions.start(name, world, environment, bus=bus) as function,
    ):
        meter = Meter(function, take, QUEUE_REQUESTS)
        for path in paths.PATHS:
            for event in paths.events(stories, path):
                used[path].append(meter.use(batch([event])))
    return {path: _typical(used[path]) for path in paths.MEASURED}


def _typical(uses: list[Use]) -> Use:
    mean = sum(uses, Use()) / len(uses)
    return replace(mean, milliseconds=median(use.milliseconds for use in uses))


def _sweeps(world: World) -> dict[str, Use]:
    """The resources of sweeping a clean account in each mode, after an earlier sweep."""
    for number in range(USERS):
        world.user(f"user-{number:03}")
    used = {}
    for mode in ["list", "report"]:
        with relay.relays(world.moto_url, world.dynamodb_url, delay=CALL_SECONDS, amend=_with_root) as (relayed, take):
            environment = world.environment(bus=True) | relayed
            environment |= {"SWEEP_QUEUE_URL": world.changes_url, "SWEEP_MODE": mode}
            with Function([programs.sweeper()], environment, f"sweeper-{mode}") as function:
                meter = Meter(function, take, TURN_QUEUE_REQUESTS)
                for _ in range(2):
                    turn = {"secondkey_sweep": {"version": 1, "account": ACCOUNT}}
                    used[mode] = meter.use({"Records": [message(turn)]})
    return used


def _with_root(action: str, answer: bytes) -> bytes:
    """moto's credential report with an added row for root, which AWS's report always has."""
    if action != "GetCredentialReport":
        return answer
    columns = b",not_supported,no_information,not_supported,not_supported,true"
    columns += b",false,N/A,N/A,N/A,N/A" * 2 + b",false,N/A" * 2
    root = b"<root_account>,arn:aws:iam::%s:root,2015-01-01T00:00:00+00:00" % ACCOUNT.encode() + columns + b"\n"

    def amended(found: re.Match) -> bytes:
        return b"<Content>" + base64.b64encode(base64.b64decode(found[1]) + root) + b"</Content>"

    return re.sub(rb"<Content>\s*([^<]*?)\s*</Content>", amended, answer)


def _show(section: Section, variants: dict[str, dict[str, Use]], sweeps: dict[str, Use]) -> None:
    million = 1e6
    mixes = {name: sum((uses[path] for path in ROTATION), Use()) / len(ROTATION) for name, uses in variants.items()}
    rows = [
        [name, path, *use.cells(), f"{use.dollars() * million:.2f} $"]
        for name, uses in variants.items()
        for path, use in [*uses.items(), ("a rotation's three", mixes[name])]
    ]
    section.tables.append(Table("An event", ["", "path", *COLUMNS, "a million"], rows))
    turns = [[f"`{mode}`", *use.cells(), f"{use.dollars() * million:.2f} $"] for mode, use in sweeps.items()]
    title = f"A sweep of one account, {USERS} users, no open finding"
    section.tables.append(Table(title, ["mode", *COLUMNS, "a million"], turns))
    # From the member's bus to the central one.
    sent = prices.PUT_EVENT.times(1)
    events, turns = EVENTS_A_MONTH * 1_000, HOURS_A_MONTH * 1_000
    months = [["events", name, f"{(use.dollars() + sent) * events:.2f} $"] for name, use in mixes.items()]
    months += [[f"sweeps, `{mode}`", "sweeper", f"{use.dollars() * turns:.2f} $"] for mode, use in sweeps.items()]
    section.tables.append(Table("1,000 accounts a month", ["", "", "together"], months))
    section.tables.append(
        Table(
            f"Prices, {prices.REGION}, {prices.AS_OF}",
            ["", "dollars", "page"],
            [[price.of, f"{price.dollars:g} for {price.per:,.0f}", price.page] for price in prices.ALL],
        )
    )
    section.notes += [
        f"1,000 accounts have {USERS} users each. Each user rotates its key every 90 days with three events (an opening, a "
        f"closing, no change), which makes {EVENTS_A_MONTH:.0f} events per month and account. Each is sent to the central "
        "account's bus at the price of a custom event. Every account is swept every hour.",
        f"An event takes {QUEUE_REQUESTS} SQS requests (send, receive, delete), and each re-check that the function queues one "
        f"more. A sweep takes {TURN_QUEUE_REQUESTS:.1f}, because ten messages are sent at once. IAM and STS calls, events of the "
        "same account and SNS messages to queues are free; email and chat are not included.",
        "Not included: cold starts, Lambda's own log lines, custom metrics, alarms, keys, table storage and backups, and the "
        "polling of idle queues. In an organization, a member's sweep first assumes a role there: one free call, and its time.",
        "Lambda gives 256 MB about a seventh of a core; here each function has a whole one. Functions that compute more, "
        "above all the boto3 handler, are billed for longer there.",
        "In a transaction an index is assumed to cost twice a plain write, like the table; the developer guide does not say. "
        "A refused transaction is assumed to cost as much as a successful one, without the indexes.",
    ]


def _count(exchanges: list[Exchange], action: str) -> int:
    return sum(done.action == action for done in exchanges)
