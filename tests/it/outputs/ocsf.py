"""Validates a JSON array of events against the published schema of OCSF, in the version, class and
profiles that each event names, and checks the captions of IDs. The first argument is the directory of
the package with the schema."""

import json
import sys

from jsonschema import Draft202012Validator

sys.path.insert(0, sys.argv[1])
from ocsf_json_schema import OcsfJsonSchemaEmbedded, get_ocsf_schema

PUBLISHED = {}
VALIDATORS = {}


def published(version):
    if version not in PUBLISHED:
        PUBLISHED[version] = get_ocsf_schema(version=version)
    return PUBLISHED[version]


def validator(version, class_uid, profiles):
    key = (version, class_uid, tuple(profiles))
    if key not in VALIDATORS:
        schemas = OcsfJsonSchemaEmbedded(published(version))
        name = schemas.lookup_class_name_from_uid(class_uid=class_uid)
        VALIDATORS[key] = (
            name,
            Draft202012Validator(schemas.get_class_schema(class_name=name, profiles=profiles)),
        )
    return VALIDATORS[key]


def captions(attributes, event):
    """Checks that `severity` is the caption of `severity_id`, and so on for all siblings in OCSF."""
    for name, attribute in attributes.items():
        sibling, number = attribute.get("sibling"), event.get(name)
        known = attribute.get("enum", {}).get(str(number))
        if sibling in event and known and number != 99 and event[sibling] != known["caption"]:
            yield f"{sibling}: {event[sibling]!r} is not {known['caption']!r}"


def main():
    found = []
    for event in json.load(sys.stdin):
        metadata = event["metadata"]
        name, check = validator(
            metadata["version"], event["class_uid"], metadata["profiles"]
        )
        found.extend(
            f"{problem.json_path}: {problem.message}" for problem in check.iter_errors(event)
        )
        attributes = published(metadata["version"])["classes"][name]["attributes"]
        found.extend(captions(attributes, event))
        if event["type_uid"] != event["class_uid"] * 100 + event["activity_id"]:
            found.append("type_uid: is not made of class and activity")
    print("\n".join(found))
    sys.exit(1 if found else 0)


main()
