"""The peer: Cloud Custodian's event mode, by `policy.push` on the same messages, as its own Lambda entry point does.

The policy is read once per process; Custodian's own entry point is slower and reads it for each event. It
keeps no state: every event about a user with two active keys is reported again.
"""

import json
import logging
import os

from c7n.config import Config
from c7n.policy import PolicyCollection
from c7n.resources import load_resources
from c7n.resources.aws import AWS

EVENTS = ["CreateAccessKey", "UpdateAccessKey", "DeleteAccessKey"]
POLICY = {
    "name": "second-active-key",
    "resource": "aws.iam-user",
    "mode": {
        "type": "cloudtrail",
        "role": "arn:aws:iam::123456789012:role/custodian",
        "events": [{"source": "iam.amazonaws.com", "event": event, "ids": "requestParameters.userName"} for event in EVENTS],
    },
    "filters": [
        {"type": "access-key", "key": "Status", "value": "Active"},
        {"type": "value", "key": "length(\"c7n:AccessKeys\"[?Status=='Active'])", "value": 2, "op": "ge"},
    ],
    "actions": [{"type": "notify", "to": ["security"], "transport": {"type": "sns", "topic": os.environ["ALERT_TOPIC_ARN"]}}],
}

logging.getLogger("custodian").setLevel(logging.WARNING)
load_resources(["aws.iam-user"])
config = Config.empty(account_id=os.environ["ACCOUNT_ID"], region=os.environ["AWS_REGION"], output_dir="/tmp")
policies = PolicyCollection.from_data({"policies": [POLICY]}, AWS().initialize(config))
for policy in policies:
    policy.validate()


def handle(event: dict, context: object) -> dict:
    """Runs the policy on each event of an SQS batch."""
    for message in event["Records"]:
        for policy in policies:
            policy.push(json.loads(message["body"]), context)
    return {"batchItemFailures": []}
