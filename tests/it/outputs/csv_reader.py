"""Reads CSV strictly and writes the rows as JSON. Fails if rows have different numbers of fields, or if
a cell would be a formula in a spreadsheet (OWASP, CSV injection)."""

import csv
import io
import json
import sys


def main():
    text = sys.stdin.buffer.read().decode("utf-8")
    try:
        rows = list(csv.reader(io.StringIO(text, newline=""), strict=True))
    except csv.Error as error:
        print(error)
        sys.exit(1)
    found = []
    for row in rows:
        if len(row) != len(rows[0]):
            found.append(f"{len(row)} fields and not {len(rows[0])}: {row}")
        found.extend(
            f"a formula: {cell!r}"
            for cell in row
            if cell.startswith(("=", "+", "-", "@", "\t", "\r"))
        )
    print("\n".join(found) if found else json.dumps(rows))
    sys.exit(1 if found else 0)


main()
