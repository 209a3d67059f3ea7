"""The cold path: from a function's spawn to its first request, and to the first alert."""

import statistics
import uuid
from collections.abc import Callable

from measure import programs, world
from measure.functions import DETECTOR, HANDLER, start, tell
from measure.page import Goal, Section, Table
from measure.runtime_api import Function
from measure.servers import dynamodb, moto
from measure.tls_proxy import Network, Proxies, proxies
from measure.world import World

#: How often each is started. They take turns, so that other load on the machine affects all equally.
STARTS = 40
ALERTS = 20
#: Warm-up alerts, because the servers are slow at first.
WARM_UP = 2

#: A round trip to a service takes 20 ms.
ONE_WAY_SECONDS = 0.010
#: Loopback opens a connection at once; a network takes a round trip.
NETWORKS = {
    "bytes are delayed": Network(ONE_WAY_SECONDS, tcp_takes_a_round_trip=False),
    "opening TCP too": Network(ONE_WAY_SECONDS, tcp_takes_a_round_trip=True),
}
FLOOR = "bare lambda_runtime"

ABOUT = """
Each function is spawned as a process and requests events from a runtime interface, as in Lambda. *Init* ends with its first
request. The floor is a program with the same Lambda runtime and nothing else (`benches/bare`). The boto3 handler
(`benches/peers/handler.py`, run by AWS's own runtime client for Python) makes the same calls and creates its clients at import.

*Cold alert* is the time from the spawn to the topic's answer for the event of a second active key. *Warm alert* is the time from
passing the event, in a process that has already handled one alert. DynamoDB Local and moto run behind proxies that use TLS 1.3 and
delay each byte by 10 ms, so a round trip takes 20 ms. In the second table, opening a TCP connection also takes a round trip, which
loopback hides. The trust store has as many root certificates as a real system.
"""


def measure() -> Section:
    section = Section("cold", "Cold path", ABOUT)
    with moto() as moto_url, dynamodb() as dynamodb_url:
        surroundings = World(moto_url, dynamodb_url)
        _inits(section, surroundings)
        for network in NETWORKS:
            _alerts(section, surroundings, network)
    size_mb = programs.detector().stat().st_size / 1e6
    section.goals.append(Goal.at_most("detector's size", size_mb, 8, "{:.1f} MB", why=WHY_SIZE))
    return section


def _inits(section: Section, surroundings: World) -> None:
    started: dict[str, Callable[[], Function]] = {
        FLOOR: lambda: Function([programs.bare()], surroundings.environment(), "bare"),
        DETECTOR: lambda: start(DETECTOR, surroundings, bus=True),
        HANDLER: lambda: start(HANDLER, surroundings, bus=True),
    }
    seconds: dict[str, list[float]] = {name: [] for name in started}
    memory: dict[str, float] = {}
    for _ in range(STARTS):
        for name, spawn in started.items():
            with spawn() as function:
                seconds[name].append(function.init_seconds())
                memory[name] = function.peak_memory_mib()
    floor = statistics.median(seconds[FLOOR])
    rows = [
        [name, f"{statistics.median(took) * 1000:.1f}", f"{min(took) * 1000:.1f}", f"{statistics.median(took) / floor:.2f}", f"{memory[name]:.1f}"]
        for name, took in seconds.items()
    ]  # fmt: skip
    section.tables.append(Table(f"Init, {STARTS} starts each", ["", "median ms", "least ms", "× floor", "memory MiB"], rows))
    ratio = statistics.median(seconds[DETECTOR]) / floor
    section.goals.append(Goal.at_most("init, compared with a bare runtime", ratio, 2.0, "{:.2f} ×", why=WHY_INIT))


def _alerts(section: Section, surroundings: World, name: str) -> None:
    servers = dict.fromkeys(["IAM", "SNS", "SQS", "EVENTBRIDGE", "STS"], surroundings.moto_url)
    with proxies(servers | {"DYNAMODB": surroundings.dynamodb_url}, NETWORKS[name]) as between:
        cold = {DETECTOR: [], HANDLER: []}
        handed = {DETECTOR: [], HANDLER: []}
        warm = {DETECTOR: [], HANDLER: []}
        memory = {}
        for alert in range(WARM_UP + ALERTS):
            for function_name, accepted_after in cold.items():
                first, second = (_second_key(surroundings) for _ in range(2))
                with start(function_name, surroundings, _over(between)) as function:
                    accepted, began = _alert(function, between, first)
                    memory[function_name] = function.peak_memory_mib()
                    accepted_next, began_next = _alert(function, between, second)
                if alert >= WARM_UP:
                    accepted_after.append(accepted - function.spawned)
                    handed[function_name].append(accepted - began)
                    warm[function_name].append(accepted_next - began_next)
    median = statistics.median
    least = median(warm[DETECTOR])
    rows = [
        [f"{function_name}, {what}", f"{median(took) * 1000:.0f}", f"{median(took) / least:.2f}"]
        for function_name in cold
        for what, took in [
            ("warm", warm[function_name]),
            ("cold, from the event", handed[function_name]),
            ("cold, from the spawn", cold[function_name]),
        ]
    ]
    section.tables.append(
        Table(f"An alert, {ALERTS} processes each: {name}", ["", "median ms", "× the detector's warm alert"], rows)
    )
    # Before its first request any program opens a connection: a round trip for TLS, and one for TCP where that takes one.
    floor = least + 2 * ONE_WAY_SECONDS * (1 + NETWORKS[name].tcp_takes_a_round_trip)
    rows.append(["minimum for cold: warm, plus opening one connection", f"{floor * 1000:.0f}", f"{floor / least:.2f}"])
    ratio = median(cold[DETECTOR]) / least
    why = (
        f"opening the first connection alone takes {floor / least:.2f} ×; the rest is the start and six TLS handshakes, whose two "
        "ends share two cores"
    )
    section.goals.append(Goal.at_most(f"cold alert, compared with warm: {name}", ratio, 1.3, "{:.2f} ×", why=why))
    if name == next(iter(NETWORKS)):
        section.goals.append(
            Goal.at_most("detector's memory after an alert", memory[DETECTOR], 16, "{:.1f} MiB", why="not known")
        )


def _over(between: Proxies) -> dict[str, str]:
    """The environment that makes a function use the proxies."""
    urls = {f"AWS_ENDPOINT_URL_{service}": url for service, url in between.urls.items()}
    trusted = str(between.trusted)
    return urls | {"SSL_CERT_FILE": trusted, "AWS_CA_BUNDLE": trusted}


def _second_key(surroundings: World) -> dict:
    """Creates a user with two keys. Returns the payload with the event of the second one."""
    user = f"user-{uuid.uuid4().hex[:8]}"
    _, second = surroundings.user(user, keys=2)
    return world.batch([world.event("create", user, second)])


def _alert(function: Function, between: Proxies, payload: dict) -> tuple[float, float]:
    """Passes an event. Returns when the topic accepted the alert and when the event was passed."""
    answer = tell(function, payload)
    return between.accepted(), answer.began


WHY_INIT = (
    "what is left is loading a binary of some megabytes, its relocations, and each SDK crate's own reading of the list of AWS's "
    "partitions"
)
WHY_SIZE = "the clients of six services, TLS and HTTP/2 are nearly all of it"
