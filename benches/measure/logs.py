"""CloudTrail logs as stored in S3: many gzipped files of a few megabytes of JSON. Reproducible."""

import itertools
import json
import random
import shutil
import zlib
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from measure import records
from measure.programs import KEPT

#: Raise this with every change of the bytes, so that older cached logs are not used.
FORM = 1
RECORDS_PER_FILE = 3_000
#: By default, one in so many records changes a key, and one in so many only mentions `AccessKey`.
ONE_CHANGE_IN = 1_000
ONE_MENTION_IN = 100
#: How many users take turns if more keys change. Source: IAM quotas, users in an account.
USERS = 5_000
BEGIN = datetime(2025, 1, 1, tzinfo=UTC)
SECONDS_PER_FILE = 300
#: A change: its template and its values.
Change = tuple[records.Template, dict[str, str]]


@dataclass
class Logs:
    """A folder of logs, and its content."""

    folder: str
    files: int
    records: int
    changes: int
    #: As JSON, and as stored on disk.
    json_bytes: int
    disk_bytes: int

    def paths(self) -> list[Path]:
        return sorted(Path(self.folder).iterdir())


def written(json_gb: float, gzipped: bool, one_change_in: int = ONE_CHANGE_IN) -> Logs:
    """Logs of about that many GB of JSON, cached between runs."""
    density = "" if one_change_in == ONE_CHANGE_IN else f"-{one_change_in}"
    folder = KEPT / "logs" / f"{json_gb:g}-{'gzipped' if gzipped else 'plain'}{density}-{FORM}"
    told = folder.with_name(folder.name + ".json")
    if not told.exists():
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        of_one = len(_text(0, one_change_in)[0])
        numbers = range(max(1, round(json_gb * 1e9 / of_one)))
        with ProcessPoolExecutor() as pool:
            of_all = [[value] * len(numbers) for value in (folder, gzipped, one_change_in)]
            files = list(pool.map(_write, numbers, *of_all, chunksize=4))
        sums = [sum(column) for column in zip(*files, strict=True)]
        logs = Logs(str(folder), len(files), RECORDS_PER_FILE * len(files), *sums)
        told.write_text(json.dumps(asdict(logs)))
    return Logs(**json.loads(told.read_text()))


def _write(number: int, folder: Path, gzipped: bool, one_change_in: int) -> tuple[int, int, int]:
    text, changes = _text(number, one_change_in)
    packed = text
    if gzipped:
        # 31: with a gzip header, which contains no time here.
        packer = zlib.compressobj(6, zlib.DEFLATED, 31)
        packed = packer.compress(text) + packer.flush()
    (folder / f"{number:05}.json{'.gz' if gzipped else ''}").write_bytes(packed)
    return changes, len(text), len(packed)


def _text(number: int, one_change_in: int) -> tuple[bytes, int]:
    """The file with this number, and how many key changes it contains."""
    rng = random.Random(number)
    begin = BEGIN + timedelta(seconds=SECONDS_PER_FILE * number)
    times = [(begin + timedelta(seconds=second)).strftime("%Y-%m-%dT%H:%M:%SZ") for second in range(SECONDS_PER_FILE)]
    if one_change_in == ONE_CHANGE_IN:
        changes = _story(number)
    else:
        changes = _turns(number * (RECORDS_PER_FILE // one_change_in))
    texts = []
    for place in range(RECORDS_PER_FILE):
        values = _values(rng.getrandbits(400))
        values["time"] = times[place * SECONDS_PER_FILE // RECORDS_PER_FILE]
        if place % one_change_in == one_change_in // 2:
            template, more = next(changes)
            values |= more
        elif place % ONE_MENTION_IN == 0:
            template = records.MENTIONS[place // ONE_MENTION_IN % len(records.MENTIONS)]
        else:
            template = rng.choice(records.OTHERS)
        texts.append(template(values))
    return ('{"Records":[' + ",".join(texts) + "]}").encode(), RECORDS_PER_FILE // one_change_in


def _story(number: int) -> Iterator[Change]:
    """The changes of the file with this number: to one user."""
    for template, key in records.STORIES[number % len(records.STORIES)]:
        yield template, {"user": f"robot-{number}", "changed": f"{number:08}EXAMPLE{key}"}


def _turns(first: int) -> Iterator[Change]:
    """The changes from this number on: to one user after the other, repeatedly."""
    for number in itertools.count(first):
        user, turn = number % USERS, number // USERS
        cycle = records.CYCLES[user % len(records.CYCLES)]
        template, age = cycle[turn % len(cycle)]
        # A user's first key has no predecessor to remove, so one of another cycle is named.
        key = turn // len(cycle) + 1 - age
        yield template, {"user": f"robot-{user}", "changed": f"{user:05}EX{key:08}A"}


def _values(bits: int) -> dict[str, str]:
    """The varying values of a record, from random bits."""
    digits = f"{bits:0100x}"
    return {
        "id": f"{digits[:8]}-{digits[8:12]}-4{digits[13:16]}-a{digits[17:20]}-{digits[20:32]}",
        "request": f"{digits[32:40]}-{digits[40:44]}-4{digits[45:48]}-b{digits[49:52]}-{digits[52:64]}",
        "session": digits[64:80],
        "address": f"10.{bits & 63}.{bits >> 6 & 255}.{bits >> 14 & 255}",
        "role": str((bits >> 22) % 97),
        "key": digits[80:96].upper(),
    }
