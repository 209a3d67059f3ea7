"""The peer: the same task as a boto3 handler on Lambda's Python runtime, as a careful team would write it.

It makes the detector's calls one after another: it reads the record, pending alerts and exemptions, lists the
keys, writes all changes in one transaction, and publishes the alert and marks it delivered. Clients are
created at import, once per process.
"""

import hashlib
import json
import os
from datetime import UTC, datetime, timedelta

import boto3
from boto3.dynamodb.types import TypeDeserializer, TypeSerializer
from botocore.exceptions import ClientError

dynamodb = boto3.client("dynamodb")
iam = boto3.client("iam")
sns = boto3.client("sns")

ACCOUNT = os.environ["ACCOUNT_ID"]
TABLE = os.environ["TABLE_NAME"]
TOPIC = os.environ["ALERT_TOPIC_ARN"]
SCHEMA = 2
#: SQS keeps a message for 14 days at most.
SEEN_FOR = timedelta(days=15)
DELIVERY_GRACE = timedelta(seconds=30)
CHANGES = {"CreateAccessKey": "key_created", "UpdateAccessKey": "key_updated", "DeleteAccessKey": "key_deleted"}

serialize = TypeSerializer().serialize
deserialize = TypeDeserializer().deserialize


def handle(event: dict, _context: object) -> dict:
    """Handles a batch of SQS messages, each an EventBridge event. Returns those that failed."""
    failures = []
    for message in event["Records"]:
        try:
            process(json.loads(message["body"])["detail"])
        except Exception as error:
            print(json.dumps({"level": "ERROR", "message_id": message["messageId"], "error": str(error)}))
            failures.append({"itemIdentifier": message["messageId"]})
    return {"batchItemFailures": failures}


def process(detail: dict) -> None:
    """Re-checks the user of one CloudTrail record."""
    if detail["eventName"] not in CHANGES or detail.get("errorCode"):
        return
    user = detail["requestParameters"]["userName"]
    name = f"{ACCOUNT}#{user.lower()}"
    record = read_record(name)
    owed = read_partition(f"OWED#{name}")
    exemptions = read_partition(f"EXEMPTION#{ACCOUNT}")
    keys = list_keys(user)

    now = datetime.now(UTC)
    finding, outcome = decide(record, keys, exemptions, detail, user, now)
    entries = trail(record, finding, outcome, detail, now)
    alert = None
    if outcome in ("opened", "closed") and finding["finding_status"] != "suppressed":
        alert = {
            "PK": f"OWED#{name}",
            "SK": f"{entries[-1]['sequence']:020}#sns",
            "sink": "sns",
            "due": "due",
            "due_at": text(now + DELIVERY_GRACE),
            "sequence": entries[-1]["sequence"],
            "audit_hash": entries[-1]["hash"],
            "kind": outcome,
            "at": text(now),
            "finding": finding,
        }
    if not commit(name, record, keys, finding, outcome, entries, alert, detail, now):
        return
    print(json.dumps({"level": "INFO", "user": user, "outcome": outcome}))
    due = [item for item in owed if item["due_at"] <= text(now)]
    for item in [*due, *([alert] if alert else [])]:
        publish(item, last_uses(item))
        dynamodb.delete_item(TableName=TABLE, Key=as_item({"PK": item["PK"], "SK": item["SK"]}))


def read_record(name: str) -> dict:
    answer = dynamodb.get_item(TableName=TABLE, Key=as_item({"PK": f"USER#{name}", "SK": "RECORD"}), ConsistentRead=True)
    return as_dict(answer["Item"]) if "Item" in answer else {"version": 0, "episodes": 0, "audit_sequence": 0, "audit_hash": ""}


def read_partition(partition: str) -> list[dict]:
    pages = dynamodb.get_paginator("query").paginate(
        TableName=TABLE,
        ConsistentRead=True,
        KeyConditionExpression="PK = :partition",
        ExpressionAttributeValues={":partition": {"S": partition}},
    )
    return [as_dict(item) for page in pages for item in page["Items"]]


def list_keys(user: str) -> list[dict]:
    pages = iam.get_paginator("list_access_keys").paginate(UserName=user)
    return [
        {"id": key["AccessKeyId"], "status": key["Status"].lower(), "created": text(key["CreateDate"])}
        for page in pages
        for key in page["AccessKeyMetadata"]
    ]


def decide(
    record: dict, keys: list[dict], exemptions: list[dict], detail: dict, user: str, now: datetime
) -> tuple[dict | None, str]:
    """The user's new finding, and what happened to it."""
    active = [key for key in keys if key["status"] == "active"]
    finding = record.get("finding")
    is_open = finding is not None and finding["finding_status"] != "closed"
    if len(active) > 1 and not is_open:
        exempt = any(exemption["user"] == user.lower() and exemption["until"] > text(now) for exemption in exemptions)
        return {
            "account": ACCOUNT,
            "user": user.lower(),
            "display_name": user,
            "episode": int(record["episodes"]) + 1,
            "finding_status": "suppressed" if exempt else "open",
            "severity": "medium",
            "opened_at": detail["eventTime"],
            "detected_at": text(now),
            "actor": actor(detail),
            "event_id": detail["eventID"],
            "keys": keys,
        }, "opened"
    if len(active) < 2 and is_open:
        closing = {"at": detail["eventTime"], "actor": actor(detail), "event_id": detail["eventID"]}
        return finding | {"finding_status": "closed", "keys": keys, "closing": closing}, "closed"
    return finding, "still open" if is_open else "nothing open"


def trail(record: dict, finding: dict | None, outcome: str, detail: dict, now: datetime) -> list[dict]:
    """The new entries of the audit trail, each with the hash of the previous one."""
    parameters = detail["requestParameters"]
    key = parameters.get("accessKeyId") or detail["responseElements"]["accessKey"]["accessKeyId"]
    details = {"key": key, "source_ip": detail["sourceIPAddress"], "user_agent": detail["userAgent"]}
    kind = CHANGES[detail["eventName"]]
    drafts = [{"kind": kind, "at": detail["eventTime"], "event_id": detail["eventID"], "details": details}]
    if outcome in ("opened", "closed"):
        finding_id = f"{finding['account']}/{finding['user']}/{finding['episode']}"
        drafts.append({"kind": f"finding_{outcome}", "at": text(now), "finding_id": finding_id, "details": {}})
    entries, previous = [], record["audit_hash"]
    for sequence, draft in enumerate(drafts, int(record["audit_sequence"]) + 1):
        entry = draft | {"sequence": sequence, "recorded_at": text(now), "actor": actor(detail), "previous_hash": previous}
        previous = hashlib.sha256(json.dumps(entry, sort_keys=True).encode()).hexdigest()
        entries.append(entry | {"hash": previous})
    return entries


def commit(
    name: str, record: dict, keys: list[dict], finding: dict | None, outcome: str, entries: list[dict], alert: dict | None,
    detail: dict, now: datetime,
) -> bool:  # fmt: skip
    """Writes everything in one transaction. Returns False if the change is already in the trail."""
    version = int(record["version"])
    user = {"account": ACCOUNT, "user": name.partition("#")[2]}
    new = record | user | {
        "PK": f"USER#{name}",
        "SK": "RECORD",
        "version": version + 1,
        "episodes": finding["episode"] if finding else record["episodes"],
        "last_listing": {"requested_at": text(now), "keys": keys},
        "audit_sequence": entries[-1]["sequence"],
        "audit_hash": entries[-1]["hash"],
    }
    if finding:
        new["finding"] = finding
    seen = {
        "PK": f"EVENT#{ACCOUNT}#{detail['eventID']}",
        "SK": f"SEEN#{user['user']}",
        "expires_at": int((now + SEEN_FOR).timestamp()),
    }
    is_new = {"ConditionExpression": "attribute_not_exists(PK)"}
    as_read = {
        "ConditionExpression": "#version = :version",
        "ExpressionAttributeNames": {"#version": "version"},
        "ExpressionAttributeValues": {":version": {"N": str(version)}},
    }
    puts = [put(new, as_read if version else is_new), put(seen, is_new)]
    puts += [put(entry | user | {"PK": f"AUDIT#{name}", "SK": f"{entry['sequence']:020}"}, is_new) for entry in entries]
    if outcome in ("opened", "closed"):
        puts.append(put(finding | {"PK": f"USER#{name}", "SK": f"FINDING#{int(finding['episode']):010}"}))
    if alert:
        puts.append(put(alert))
    try:
        dynamodb.transact_write_items(TransactItems=puts)
    except ClientError as error:
        reasons = [reason["Code"] for reason in error.response.get("CancellationReasons", [])]
        if reasons[:2] == ["None", "ConditionalCheckFailed"]:
            return False
        raise
    return True


def last_uses(alert: dict) -> dict[str, str]:
    """When each key in an opening was last used."""
    if alert["kind"] != "opened":
        return {}
    answers = {key["id"]: iam.get_access_key_last_used(AccessKeyId=key["id"]) for key in alert["finding"]["keys"]}
    used = {key: answer["AccessKeyLastUsed"].get("LastUsedDate") for key, answer in answers.items()}
    return {key: text(at) if at else "never" for key, at in used.items()}


def publish(alert: dict, used: dict[str, str]) -> None:
    finding = alert["finding"]
    subject = f"[{finding['severity'].upper()}] second active key of {finding['display_name']}: {alert['kind']}"
    lines = [subject, "", f"Account: {finding['account']}", f"By: {finding['actor']}", f"Since: {finding['opened_at']}"]
    lines += [
        f"{key['id']}: {key['status']}, made {key['created']}, last used {used.get(key['id'], '?')}" for key in finding["keys"]
    ]
    document = json.dumps({"version": "1", **alert, "last_used": used}, default=int)
    sns.publish(
        TopicArn=TOPIC,
        Subject=subject[:100],
        MessageStructure="json",
        Message=json.dumps({"default": document, "email": "\n".join(lines), "sms": subject}),
        MessageAttributes={
            "severity": {"DataType": "String", "StringValue": finding["severity"].upper()},
            "kind": {"DataType": "String", "StringValue": alert["kind"]},
            "account": {"DataType": "String", "StringValue": finding["account"]},
        },
    )


def actor(detail: dict) -> str:
    return detail["userIdentity"].get("arn", "unknown")


def put(item: dict, condition: dict | None = None) -> dict:
    return {"Put": {"TableName": TABLE, "Item": as_item(item | {"schema": SCHEMA}), **(condition or {})}}


def as_item(values: dict) -> dict:
    return {name: serialize(value) for name, value in values.items()}


def as_dict(item: dict) -> dict:
    return {name: deserialize(value) for name, value in item.items()}


def text(at: datetime) -> str:
    return at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
