"""CloudTrail logs as S3 has them: many gzipped files of a few megabytes of JSON. The same bytes whenever they are written."""

import json
import random
import shutil
import zlib
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta, timezone
from pathlib import Path

from measure import records
from measure.programs import KEPT

#: Raised with whatever changes the bytes, so that logs kept from before are not taken for these.
FORM = 1
RECORDS_PER_FILE = 3_000
#: One record in so many changes a key; one in so many only mentions `AccessKey`.
ONE_CHANGE_IN = 1_000
ONE_MENTION_IN = 100
BEGIN = datetime(2025, 1, 1, tzinfo=timezone.utc)
SECONDS_PER_FILE = 300


@dataclass
class Logs:
    """A folder of logs, and what is in it."""

    folder: str
    files: int
    records: int
    changes: int
    #: As JSON, and as it lies on disk.
    json_bytes: int
    disk_bytes: int

    def paths(self) -> list[Path]:
        return sorted(Path(self.folder).iterdir())


def written(json_gb: float, gzipped: bool) -> Logs:
    """Logs of about that many GB of JSON; kept from run to run."""
    folder = KEPT / "logs" / f"{json_gb:g}-{'gzipped' if gzipped else 'plain'}-{FORM}"
    told = folder.with_name(folder.name + ".json")
    if not told.exists():
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        of_one = len(_text(0)[0])
        numbers = range(max(1, round(json_gb * 1e9 / of_one)))
        with ProcessPoolExecutor() as pool:
            files = list(pool.map(_write, [folder] * len(numbers), numbers, [gzipped] * len(numbers), chunksize=4))
        sums = [sum(column) for column in zip(*files)]
        logs = Logs(str(folder), len(files), RECORDS_PER_FILE * len(files), *sums)
        told.write_text(json.dumps(asdict(logs)))
    return Logs(**json.loads(told.read_text()))


def _write(folder: Path, number: int, gzipped: bool) -> tuple[int, int, int]:
    text, changes = _text(number)
    packed = text
    if gzipped:
        # 31: with a gzip header, which here names no time.
        packer = zlib.compressobj(6, zlib.DEFLATED, 31)
        packed = packer.compress(text) + packer.flush()
    (folder / f"{number:05}.json{'.gz' if gzipped else ''}").write_bytes(packed)
    return changes, len(text), len(packed)


def _text(number: int) -> tuple[bytes, int]:
    """The file of that number, and how many key changes are in it."""
    rng = random.Random(number)
    begin = BEGIN + timedelta(seconds=SECONDS_PER_FILE * number)
    times = [(begin + timedelta(seconds=second)).strftime("%Y-%m-%dT%H:%M:%SZ") for second in range(SECONDS_PER_FILE)]
    story = iter(records.STORIES[number % len(records.STORIES)])
    texts = []
    for place in range(RECORDS_PER_FILE):
        values = _values(rng.getrandbits(400))
        values["time"] = times[place * SECONDS_PER_FILE // RECORDS_PER_FILE]
        if place % ONE_CHANGE_IN == ONE_CHANGE_IN // 2:
            template, key = next(story)
            values |= {"user": f"robot-{number}", "changed": f"{number:08}EXAMPLE{key}"}
        elif place % ONE_MENTION_IN == 0:
            template = records.MENTIONS[place // ONE_MENTION_IN % len(records.MENTIONS)]
        else:
            template = rng.choice(records.OTHERS)
        texts.append(template(values))
    return ('{"Records":[' + ",".join(texts) + "]}").encode(), RECORDS_PER_FILE // ONE_CHANGE_IN


def _values(bits: int) -> dict[str, str]:
    """What differs from record to record, out of random bits."""
    digits = f"{bits:0100x}"
    return {
        "id": f"{digits[:8]}-{digits[8:12]}-4{digits[13:16]}-a{digits[17:20]}-{digits[20:32]}",
        "request": f"{digits[32:40]}-{digits[40:44]}-4{digits[45:48]}-b{digits[49:52]}-{digits[52:64]}",
        "session": digits[64:80],
        "address": f"10.{bits & 63}.{bits >> 6 & 255}.{bits >> 14 & 255}",
        "role": str((bits >> 22) % 97),
        "key": digits[80:96].upper(),
    }
