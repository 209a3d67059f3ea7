"""The surroundings of a deployed function: the table, the topic, the changes queue, users with keys, and events.

Events are those of events/samples with another user, key, ID and time, so that they have a realistic size.
"""

import copy
import json
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime

import boto3
import yaml
from measure.programs import REPOSITORY
from measure.servers import ACCOUNT, CREDENTIALS, REGION

SAMPLES = {
    "create": "create-access-key.json",
    "activate": "update-access-key.active.json",
    "deactivate": "update-access-key.inactive.json",
    "delete": "delete-access-key.json",
}


@dataclass
class World:
    """The surroundings of one deployment, in the servers at these addresses."""

    moto_url: str
    dynamodb_url: str
    table: str = field(default_factory=lambda: f"secondkey-{uuid.uuid4().hex[:8]}")
    topic: str = ""
    changes_url: str = ""
    bus: str = ""

    def __post_init__(self):
        self.iam = self.client("iam", self.moto_url)
        self.dynamodb = self.client("dynamodb", self.dynamodb_url)
        self._make()

    @staticmethod
    def client(service: str, url: str):
        return boto3.client(
            service, endpoint_url=url, region_name=REGION,
            aws_access_key_id=CREDENTIALS["AWS_ACCESS_KEY_ID"], aws_secret_access_key=CREDENTIALS["AWS_SECRET_ACCESS_KEY"],
        )  # fmt: skip

    def environment(self, *, bus: bool = False) -> dict[str, str]:
        """The settings of a function as deployed, with the topic as its only sink, or with the bus too."""
        return {
            "ACCOUNT_ID": ACCOUNT,
            "TABLE_NAME": self.table,
            "CHANGES_QUEUE_URL": self.changes_url,
            "ALERT_TOPIC_ARN": self.topic,
            "EVENT_BUS_NAME": self.bus if bus else "",
            "SETTLE_SECONDS": "60",
            "AWS_ENDPOINT_URL": self.moto_url,
            "AWS_ENDPOINT_URL_DYNAMODB": self.dynamodb_url,
        }

    def user(self, name: str, keys: int = 1) -> list[str]:
        """Creates a user with this many active keys, and returns their IDs."""
        self.iam.create_user(UserName=name)
        return [self.key(name) for _ in range(keys)]

    def key(self, user: str) -> str:
        return self.iam.create_access_key(UserName=user)["AccessKey"]["AccessKeyId"]

    def _make(self) -> None:
        name = self.table
        self.dynamodb.create_table(TableName=name, **table_of_template())
        sns, sqs = self.client("sns", self.moto_url), self.client("sqs", self.moto_url)
        events = self.client("events", self.moto_url)
        self.topic = sns.create_topic(Name=name)["TopicArn"]
        self.changes_url = sqs.create_queue(QueueName=f"{name}-changes")["QueueUrl"]
        sqs.create_queue(QueueName=f"{name}-alerts")
        queue = f"arn:aws:sqs:{REGION}:{ACCOUNT}:{name}-alerts"
        sns.subscribe(TopicArn=self.topic, Protocol="sqs", Endpoint=queue, Attributes={"RawMessageDelivery": "true"})
        events.create_event_bus(Name=name)
        self.bus = name


def event(kind: str, user: str, key: str) -> dict:
    """An EventBridge event with the current time: the user's key was created, activated, deactivated or deleted."""
    made = copy.deepcopy(_sample(kind))
    now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    detail = made["detail"]
    made |= {"id": str(uuid.uuid4()), "time": now}
    detail |= {"eventID": str(uuid.uuid4()), "eventTime": now}
    detail["requestParameters"]["userName"] = user
    if kind == "create":
        detail["responseElements"]["accessKey"] |= {"userName": user, "accessKeyId": key}
    else:
        detail["requestParameters"]["accessKeyId"] = key
    return made


def batch(events: list[dict]) -> dict:
    """The events as the payload of an invocation: messages of the changes queue."""
    return {"Records": [message(event) for event in events]}


def tens(events: list[dict]) -> Iterator[dict]:
    """Payloads of ten messages each, as many as Lambda passes at once."""
    for start in range(0, len(events), 10):
        yield batch(events[start : start + 10])


def message(body: dict) -> dict:
    """A queue message as Lambda passes it on the first receive."""
    return {
        "messageId": str(uuid.uuid4()),
        "receiptHandle": "AQEB" + "x" * 180,
        "body": json.dumps(body),
        "attributes": {
            "ApproximateReceiveCount": "1",
            "SentTimestamp": str(int(datetime.now(UTC).timestamp() * 1000)),
            "SenderId": "AIDAIENQZJOLO23YVJ4VO",
            "ApproximateFirstReceiveTimestamp": str(int(datetime.now(UTC).timestamp() * 1000)),
        },
        "messageAttributes": {},
        "md5OfBody": "e4e68fb7bd0e697a0ae8f1bb342846b3",
        "eventSource": "aws:sqs",
        "eventSourceARN": f"arn:aws:sqs:{REGION}:{ACCOUNT}:changes",
        "awsRegion": REGION,
    }


def _sample(kind: str) -> dict:
    return json.loads((REPOSITORY / "events" / "samples" / SAMPLES[kind]).read_text().replace("111122223333", ACCOUNT))


def table_of_template() -> dict:
    """The table's keys and indexes, as in the template."""
    template = yaml.load((REPOSITORY / "infra" / "template.yaml").read_text(), _Loader)
    table = template["Resources"]["Table"]["Properties"]
    return {name: table[name] for name in ["AttributeDefinitions", "KeySchema", "GlobalSecondaryIndexes", "BillingMode"]}


class _Loader(yaml.SafeLoader):
    """Reads a template without evaluating its functions."""


_Loader.add_multi_constructor("!", lambda *_: None)
