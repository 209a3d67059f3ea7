"""Validates a SARIF log against the published JSON schema, whose path is the first argument, and checks
further rules of the standard and of GitHub: existing rules, no placeholder without an argument, and a
location in each result."""

import json
import re
import sys

from jsonschema import Draft4Validator

PLACEHOLDER = re.compile(r"(?<!\{)(?:\{\{)*\{\d+\}")


def beyond_the_schema(run):
    rules = [rule["id"] for rule in run["tool"]["driver"]["rules"]]
    for result in run["results"]:
        if rules[result["ruleIndex"]] != result["ruleId"]:
            yield f"ruleId: {result['ruleId']!r} is not at its index"
        for text in result["message"].values():
            if PLACEHOLDER.search(text):
                yield f"message: {text!r} has a placeholder and no argument"
        if not result["locations"]:
            yield "locations: there is none"
        for location in result["locations"]:
            uri = location["physicalLocation"]["artifactLocation"]["uri"]
            if not re.fullmatch(r"(?:[A-Za-z0-9._~-]|%[0-9A-F]{2})+(?:/(?:[A-Za-z0-9._~-]|%[0-9A-F]{2})*)*", uri):
                yield f"uri: {uri!r} is no relative reference"


def main():
    with open(sys.argv[1], encoding="utf-8") as file:
        schema = json.load(file)
    log = json.load(sys.stdin)
    found = [
        f"{problem.json_path}: {problem.message:.500}"
        for problem in Draft4Validator(schema).iter_errors(log)
    ]
    for run in log["runs"]:
        found.extend(beyond_the_schema(run))
    print("\n".join(found))
    sys.exit(1 if found else 0)


main()
