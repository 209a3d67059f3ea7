"""A scan of an account with many users, compared with Cloud Custodian and a shell loop."""

import statistics
from collections import Counter
from dataclasses import dataclass, field
from urllib.parse import parse_qsl

from measure.bare_calls import CONNECTIONS, body, send
from measure.delay_proxy import DelayProxy, delay_proxy
from measure.key_finders import Finder, Found, custodian, loop, scan
from measure.page import Goal, Section, Table
from measure.programs import VENV, version
from measure.servers import moto

COMPARED = [1_000, 5_000]
GROWTH = [1_000, 2_000, 5_000]
DELAYS_MS = [0, 20]
MODES = ["report", "list"]
#: The loop checks this many users, with a process for each, so further users take as long.
LOOPED = 20
#: Longer runs are made once, others three times.
ONCE_SECONDS = 8
#: The largest page of IAM; moto returns all users on one page.
PAGE = 1_000
#: The calls of a scan beyond finding out who has two active keys.
LAST_USED = "GetAccessKeyLastUsed"

REPORT, LIST = (f"`secondkey scan --mode {mode}`" for mode in MODES)
CREDENTIAL, ACCESS_KEY = "Custodian, filter `credential`", "Custodian, filter `access-key`"
KEY_RESOURCE, LOOP = "Custodian, resource `iam-access-key`", "shell loop, a process for each user"


@dataclass
class Cost:
    """The cost of a program: the medians of its runs."""

    calls: dict[str, int]
    processor_seconds: float
    #: By the delay in milliseconds.
    seconds: dict[int, float] = field(default_factory=dict)

    @property
    def all_calls(self) -> int:
        return sum(self.calls.values())


#: By program; the raw client's entry is named after the program whose calls it sends.
Costs = dict[str, Cost]


def measure() -> Section:
    compared: dict[int, Costs] = {}
    grown: dict[int, Costs] = {}
    with moto() as upstream, delay_proxy(upstream) as server:
        made = 0
        for users in sorted({*COMPARED, *GROWTH}):
            _make_users(server, made, users)
            made = users
            delays = DELAYS_MS if users in COMPARED else [0]
            grown[users] = _costs(server, users, delays, {REPORT: scan("report"), LIST: scan("list")})
            if users in COMPARED:
                compared[users] = grown[users] | _costs(server, users, delays, _peers(users))
                compared[users][LOOP] = _loop(server, users)
    return _section(compared, {users: grown[users] for users in GROWTH})


def _peers(users: int) -> dict[str, Finder]:
    peers = {CREDENTIAL: custodian("credential"), ACCESS_KEY: custodian("access-key")}
    if users == min(COMPARED):
        peers[KEY_RESOURCE] = custodian("iam-access-key")
    return peers


def _name(number: int) -> str:
    return f"user-{number:05}"


def _pairs(users: int) -> set[str]:
    """The users with two active keys: one in a hundred."""
    return {_name(number) for number in range(7, users, 100)}


def _make_users(server: DelayProxy, first: int, end: int) -> None:
    """Creates users, and makes the proxy cache moto's answers about each."""
    names = [_name(number) for number in range(first, end)]
    halves = {_name(number) for number in range(13, end, 100)}
    pairs = _pairs(end)
    server.delay(0)
    send(server.url, [body("CreateUser", UserName=name) for name in names])
    send(server.url, [body("CreateAccessKey", UserName=name) for name in names])
    seconds = [name for name in names if name in pairs | halves]
    _, answers = send(server.url, [body("CreateAccessKey", UserName=name) for name in seconds])
    for name, answer in zip(seconds, answers, strict=True):
        if name in halves:
            key = answer.partition("<AccessKeyId>")[2].partition("</AccessKeyId>")[0]
            send(server.url, [body("UpdateAccessKey", UserName=name, AccessKeyId=key, Status="Inactive")])
    send(server.url, [body(action, UserName=name) for name in names for action in ("ListAccessKeys", "GetUser")])
    # As on most days, a report was requested within the last four hours.
    send(server.url, [body("GenerateCredentialReport")])


def _costs(server: DelayProxy, users: int, delays: list[int], finders: dict[str, Finder]) -> Costs:
    costs: Costs = {}
    for name, finder in finders.items():
        for delay in delays:
            server.delay(delay)
            runs = [_checked(finder, server, _pairs(users), name)]
            while len(runs) < 3 and runs[0].seconds < ONCE_SECONDS:
                runs.append(_checked(finder, server, _pairs(users), name))
            bodies = runs[-1].bodies
            cost = costs.setdefault(name, Cost(_by_action(bodies), statistics.median(run.processor_seconds for run in runs)))
            cost.seconds[delay] = statistics.median(run.seconds for run in runs)
            if name in (REPORT, LIST):
                bare = costs.setdefault(f"bare {name}", Cost(cost.calls, 0))
                bare.seconds[delay] = statistics.median(send(server.url, bodies)[0] for _ in range(3))
    return costs


def _loop(server: DelayProxy, users: int) -> Cost:
    """The loop's cost for all users, extrapolated from the first few."""
    named = {name for name in _pairs(users) if name < _name(LOOPED)}
    cost = Cost({"ListUsers": 1, "ListAccessKeys": users}, 0)
    for delay in DELAYS_MS:
        server.delay(delay)
        none, some = _checked(loop(0), server, set(), LOOP), _checked(loop(LOOPED), server, named, LOOP)
        cost.seconds[delay] = none.seconds + (some.seconds - none.seconds) / LOOPED * users
        if delay == DELAYS_MS[0]:
            each = (some.processor_seconds - none.processor_seconds) / LOOPED
            cost.processor_seconds = none.processor_seconds + each * users
    return cost


def _checked(finder: Finder, server: DelayProxy, pairs: set[str], name: str) -> Found:
    """A run, which must name exactly the users with two active keys."""
    found = finder(server)
    if found.users != pairs:
        raise RuntimeError(f"{name} named wrongly: {sorted(found.users ^ pairs)}")
    return found


def _by_action(bodies: list[str]) -> dict[str, int]:
    return dict(Counter(dict(parse_qsl(text))["Action"] for text in bodies))


def _section(compared: dict[int, Costs], grown: dict[int, Costs]) -> Section:
    section = Section(
        "scan",
        "Sweep and scan",
        "Finding the users of an account who have two active access keys. One in a hundred has, and one in a hundred has an "
        "inactive second key. Each program runs from start to end with a stand-in for IAM: moto behind a proxy that caches "
        "moto's answers about single users and keys, so that the programs are measured rather than one Python process, and "
        "that delays answers by 0 or 20 ms. `secondkey scan` begins with an empty file each time. The credential report "
        "already exists. All programs must name the same users, and do.\n\n"
        "*Bare* rows are the calls of the program in the next row, sent by a minimal client over "
        f"{CONNECTIONS} connections. The loop takes minutes, so it runs over the first {LOOPED} users and its time is scaled "
        "to all of them, because it starts a process per user. The deployed sweeper uses the same pipeline as the scan; "
        "`tests/it/e2e/scale.rs` asserts its calls, and `tests/it/scan/calls.rs` those of the scan.",
    )
    for users, costs in compared.items():
        section.tables.append(_comparison(users, costs))
    section.tables.append(_growth(grown))
    users = min(COMPARED)
    section.goals += [
        *_speed(users, compared[users]),
        _calls(users, compared[users][REPORT].calls),
        *(_linear(mode, grown) for mode in (REPORT, LIST)),
    ]
    section.notes = _notes(users, compared[users])
    section.measured = {
        "Cloud Custodian": version(VENV / "bin" / "custodian", "version"),
        "AWS CLI": version(VENV / "bin" / "aws", "--version"),
    }
    return section


def _comparison(users: int, costs: Costs) -> Table:
    """Each program compared with secondkey's mode of the same kind: by report or by listing."""
    columns = ["", "calls"]
    for delay in DELAYS_MS:
        columns += [f"{delay} ms: s", "ratio"]
    rows = []
    for own, peers in ((REPORT, [CREDENTIAL]), (LIST, [ACCESS_KEY, KEY_RESOURCE, LOOP])):
        for name in (f"bare {own}", own, *(peer for peer in peers if peer in costs)):
            cost, ours = costs[name], costs[own]
            row = ["bare" if name.startswith("bare ") else name, f"{cost.all_calls:,}"]
            for delay in DELAYS_MS:
                row += [f"{cost.seconds[delay]:.2f}", f"{cost.seconds[delay] / ours.seconds[delay]:.2f}"]
            works = cost.processor_seconds
            row += [f"{works:.2f}", f"{works / ours.processor_seconds:.1f}"] if works else ["", ""]
            rows.append(row)
    return Table(f"{users:,} users", [*columns, "processor s", "ratio"], rows)


def _growth(grown: dict[int, Costs]) -> Table:
    columns = ["seconds per 1,000 users, 0 ms", *(f"{users:,} users" for users in grown)]
    rows = [
        [mode if bare == "" else "bare", *(f"{costs[bare + mode].seconds[0] / users * 1_000:.3f}" for users, costs in grown.items())]
        for mode in (REPORT, LIST)
        for bare in ("bare ", "")
    ]
    return Table("Growth", columns, rows)


def _speed(users: int, costs: Costs) -> list[Goal]:
    goals = []
    for own, peer, least in ((REPORT, CREDENTIAL, 10), (LIST, ACCESS_KEY, 10), (REPORT, LOOP, 100), (LIST, LOOP, 100)):
        for delay in DELAYS_MS:
            ours, theirs, floor = (costs[name].seconds[delay] for name in (own, peer, f"bare {own}"))
            what = f"{users:,} users, {delay} ms: {own}, times faster than {peer}"
            why = (
                f"{ours:.2f} s compared with {theirs:.2f} s; the server takes {floor:.2f} s for the same raw calls, which is "
                f"{theirs / floor:.1f} times faster"
            )
            goals.append(Goal.at_least(what, theirs / ours, least, "{:.1f}", why))
    return goals


def _calls(users: int, calls: dict[str, int]) -> Goal:
    suspects, pages = len(_pairs(users)), -(-users // PAGE)
    # The caller identity comes from STS, and last uses are requested for the keys found.
    made = sum(times for action, times in calls.items() if action not in (LAST_USED, "GetCallerIdentity"))
    return Goal.at_most(f"{users:,} users: IAM calls to find the users, {REPORT} (2 + suspects + pages)", made, 2 + suspects + pages, "{:.0f}")


def _linear(mode: str, grown: dict[int, Costs]) -> Goal:
    few, many = min(grown), max(grown)
    ratio = (grown[many][mode].seconds[0] / many) / (grown[few][mode].seconds[0] / few)
    return Goal.at_most(f"{mode}: time per user at {many:,} users ÷ at {few:,}", ratio, 1.25)


def _notes(users: int, costs: Costs) -> list[str]:
    asked = costs[REPORT].calls
    best = min((name for name in costs if name.startswith("Custodian")), key=lambda name: costs[name].seconds[DELAYS_MS[-1]])
    ratio = costs[best].seconds[DELAYS_MS[-1]] / costs[LIST].seconds[DELAYS_MS[-1]]
    return [
        f"With the report, a scan of {users:,} users makes " + ", ".join(f"{times} {action}" for action, times in asked.items())
        + f". {LAST_USED} retrieves the last use of each key found, which none of the peers does.",
        "Custodian requests each user individually (GetUser) before it filters, even with the report. Its resource "
        "`iam-access-key` does not, and lists one user after the other. Its fastest mode here with "
        f"{DELAYS_MS[-1]} ms is the {best.removeprefix('Custodian, ')}: {ratio:.1f} times the time of {LIST}, which lists "
        f"{CONNECTIONS} users in parallel, and no more because IAM throttles.",
    ]
