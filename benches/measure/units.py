"""The DynamoDB request units of requests, by the developer guide's rules (item sizes, operations, indexes).

DynamoDB Local reports different units: none for a query without results, and for a transaction of small
items less than the two units each of the guide.
"""

import json
import math

from measure.relay import Exchange

WRITE_BYTES, READ_BYTES = 1024, 4096


class Table:
    """Tracks a table from its first item on, because the cost of a write depends on the old item."""

    def __init__(self, indexes: list[dict]):
        self._indexes = [[key["AttributeName"] for key in index["KeySchema"]] for index in indexes]
        self._items: dict[tuple[str, str], dict] = {}

    def units(self, exchanges: list[Exchange]) -> tuple[float, float]:
        """The write and read request units of the requests, in order."""
        write = read = 0.0
        for exchange in exchanges:
            match exchange.action:
                case "GetItem" | "Query":
                    read += _read(json.loads(exchange.body), json.loads(exchange.answer))
                case "TransactWriteItems":
                    write += self._transaction(json.loads(exchange.body), exchange.status == 200)
                case "PutItem":
                    body = json.loads(exchange.body)
                    # A refused write costs the same, without the indexes.
                    write += self._written(_key(body["Item"]), body["Item"], exchange.status == 200)
                case "DeleteItem":
                    write += self._written(_key(json.loads(exchange.body)["Key"]), None, exchange.status == 200)
                case "UpdateItem" | "Scan" | "BatchGetItem" | "BatchWriteItem":
                    raise RuntimeError(f"the cost of a {exchange.action} is not implemented")
        return write, read

    def _transaction(self, body: dict, done: bool) -> float:
        """Twice the units of a plain write, because it is prepared and committed. The guide does not say whether that
        applies to indexes. DynamoDB Local counts them twice, which is the more expensive reading."""
        items = [action["Put"]["Item"] for action in body["TransactItems"]]
        return 2 * sum(self._written(_key(item), item, done) for item in items)

    def _written(self, key: tuple[str, str], item: dict | None, done: bool) -> float:
        """The units of a plain write: the larger of the old and new item, plus the units of each index."""
        before = self._items.get(key)
        units = max(_units(before, WRITE_BYTES), _units(item, WRITE_BYTES))
        if not done:
            return units
        if item is None:
            self._items.pop(key, None)
        else:
            self._items[key] = item
        return units + sum(_of_index(index, before, item) for index in self._indexes)


def _of_index(index: list[str], before: dict | None, after: dict | None) -> float:
    """One write for an entry that is added, removed or changed; two if its key changes."""
    old = before if before and all(name in before for name in index) else None
    new = after if after and all(name in after for name in index) else None
    if old == new:
        return 0
    if old and new and [old[name] for name in index] == [new[name] for name in index]:
        return max(_units(old, WRITE_BYTES), _units(new, WRITE_BYTES))
    return sum(_units(entry, WRITE_BYTES) for entry in (old, new) if entry)


def _read(body: dict, answer: dict) -> float:
    items = answer.get("Items", [answer["Item"]] if "Item" in answer else [])
    units = max(1, math.ceil(sum(map(size, items)) / READ_BYTES))
    return units if body.get("ConsistentRead") else units / 2


def _units(item: dict | None, of: int) -> int:
    return max(1, math.ceil(size(item) / of)) if item else 1


def _key(item: dict) -> tuple[str, str]:
    return item["PK"]["S"], item["SK"]["S"]


def size(item: dict) -> int:
    """An item's size in bytes, as the guide counts it."""
    return sum(len(name.encode()) + _value(value) for name, value in item.items())


def _value(value: dict) -> int:
    ((kind, held),) = value.items()
    match kind:
        case "S":
            return len(held.encode())
        case "N":
            return math.ceil(len(held.lstrip("-").replace(".", "").strip("0")) / 2) + 1
        case "BOOL" | "NULL":
            return 1
        case "M":
            return 3 + sum(1 + len(name.encode()) + _value(each) for name, each in held.items())
        case "L":
            return 3 + sum(1 + _value(each) for each in held)
    raise RuntimeError(f"the size of a {kind} is not worked out")
