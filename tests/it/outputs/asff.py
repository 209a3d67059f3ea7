"""Validates a JSON array of findings against botocore's model of Security Hub's BatchImportFindings:
types, required and unknown fields like the AWS CLI, and the enumerations, patterns and limits that
only the service checks."""

import json
import re
import sys

import botocore.session
from botocore.validate import ParamValidator

RFC_3339 = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z")


def problems(shape, value, path):
    metadata = shape.metadata
    if shape.type_name == "structure":
        for name, member in shape.members.items():
            if name in value:
                yield from problems(member, value[name], f"{path}.{name}")
    elif shape.type_name == "list":
        for place, item in enumerate(value):
            yield from problems(shape.member, item, f"{path}[{place}]")
    elif shape.type_name == "map":
        for name, item in value.items():
            yield from problems(shape.key, name, f"{path} key")
            yield from problems(shape.value, item, f"{path}.{name}")
    elif shape.type_name == "string":
        if "enum" in metadata and value not in metadata["enum"]:
            yield f"{path}: {value!r} is none of {metadata['enum']}"
        if "pattern" in metadata and not re.search(metadata["pattern"], value):
            yield f"{path}: {value!r} does not match {metadata['pattern']}"


def main():
    findings = json.load(sys.stdin)
    service = botocore.session.get_session().get_service_model("securityhub")
    shape = service.operation_model("BatchImportFindings").input_shape
    found = []
    # The most that one call accepts.
    for start in range(0, len(findings), 100):
        call = {"Findings": findings[start : start + 100]}
        report = ParamValidator().validate(call, shape)
        if report.has_errors():
            found.append(report.generate_report())
        else:
            found.extend(problems(shape, call, ""))
    for finding in findings:
        for name in ("CreatedAt", "UpdatedAt", "FirstObservedAt", "LastObservedAt"):
            if name in finding and not RFC_3339.fullmatch(finding[name]):
                found.append(f"{name}: {finding[name]!r} is no time")
        size = len(json.dumps(finding))
        if size > 240_000:
            found.append(f"{finding.get('Id')}: {size} bytes")
    print("\n".join(found))
    sys.exit(1 if found else 0)


main()
