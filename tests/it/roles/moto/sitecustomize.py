"""Makes moto decide like IAM, as far as the role tests need it. Python loads this by its name from PYTHONPATH.

moto itself checks only the action, by the name of the call. It knows the caller and the caller's policies. This
module decides what they allow: action, resource and condition.
"""

import json
import re
import sys
from fnmatch import fnmatchcase

from moto.iam.access_control import AssumedRoleAccessKey, IAMPolicy, IAMRequestBase
from moto.iam.models import iam_backends

# The organization of all accounts.
ORGANIZATION = "o-abcdefghij"

# The action with which IAM allows a batch.
BATCHES = {"SendMessageBatch": "SendMessage", "DeleteMessageBatch": "DeleteMessage"}

# The actions with which IAM allows a transaction, which has no action of its own (DynamoDB developer guide, IAM
# with transactions).
IN_TRANSACTION = {"Put": "PutItem", "Update": "UpdateItem", "Delete": "DeleteItem", "ConditionCheck": "ConditionCheckItem"}


def needed(request):
    """The permission that the caller needs: action, resource and condition keys."""
    service, _, call = request._action.partition(":")
    account, region = request.account_id, request._region
    local = f"arn:aws:{service}:{region}:{account}:"

    def form(name):
        value = request._data.get(name, "")
        return value[0] if isinstance(value, list) else value

    def body():
        return json.loads(request._body)

    if service == "dynamodb":
        if call == "TransactWriteItems":
            writes = [next(iter(item.items())) for item in body()["TransactItems"]]
            calls = [(IN_TRANSACTION[kind], write) for kind, write in writes]
        else:
            calls = [(call, body())]
        for name, asked in calls:
            index = f"/index/{asked['IndexName']}" if "IndexName" in asked else ""
            resource = f"{local}table/{asked['TableName']}{index}"
            yield f"dynamodb:{name}", resource, {"dynamodb:LeadingKeys": leading_keys(asked)}
    elif service == "sqs":
        yield f"sqs:{BATCHES.get(call, call)}", local + body()["QueueUrl"].rsplit("/")[-1], {}
    elif service == "sns":
        yield request._action, form("TopicArn"), {}
    elif service == "events" and call == "PutEvents":
        for entry in body()["Entries"]:
            yield request._action, f"{local}event-bus/{entry['EventBusName']}", {"events:source": [entry["Source"]]}
    elif service == "iam" and call in ("ListAccessKeys", "GetAccessKeyLastUsed"):
        user = form("UserName") or owner(account, form("AccessKeyId"))
        yield request._action, f"arn:aws:iam::{account}:user/{user}", {}
    elif service == "sts":
        yield request._action, form("RoleArn"), {"aws:ResourceOrgID": [ORGANIZATION]}
    elif service == "securityhub" and call == "BatchImportFindings":
        for finding in body()["Findings"]:
            yield request._action, finding["ProductArn"], {}
    else:
        yield request._action, "*", {}


def leading_keys(asked):
    if "KeyConditionExpression" in asked:
        value = re.match(r"\s*\S+ = (:\w+)", asked["KeyConditionExpression"])[1]
        return [asked["ExpressionAttributeValues"][value]["S"]]
    return [(asked.get("Key") or asked["Item"])["PK"]["S"]]


def owner(account, key_id):
    for user in iam_backends[account]["aws"].users.values():
        if any(key.access_key_id == key_id for key in user.access_keys):
            return user.name
    return ""


def elements(value):
    return value if isinstance(value, list) else [value]


def matches(patterns, value):
    return any(fnmatchcase(value, pattern) for pattern in elements(patterns))


def holds(condition, context):
    for operator, asked in condition.items():
        for key, wanted in asked.items():
            values = context.get(key, [])
            if operator == "Null":
                met = (not values) == (wanted == "true")
            elif operator == "ForAllValues:StringLike":
                met = all(matches(wanted, value) for value in values)
            elif operator == "ArnEquals":
                met = len(values) == 1 and matches(wanted, values[0])
            elif operator == "StringEquals":
                met = len(values) == 1 and values[0] in elements(wanted)
            else:
                raise NotImplementedError(operator)
            if not met:
                return False
    return True


def allows(statement, action, resource, context):
    return (
        statement["Effect"] == "Allow"
        and matches(statement["Action"], action)
        and matches(statement["Resource"], resource)
        and holds(statement.get("Condition", {}), context)
    )


def trusts(request, role_arn):
    """Whether the role trusts the caller."""
    account = role_arn.split(":")[4]
    role = next((role for role in iam_backends[account]["aws"].roles.values() if role.arn == role_arn), None)
    if role is None:
        return False
    caller = request._access_key
    arn = caller.arn
    if isinstance(caller, AssumedRoleAccessKey):
        arn = f"arn:aws:iam::{caller.account_id}:role/{caller._owner_role_name}"
    external_id = request._data.get("ExternalId", [])
    context = {"aws:PrincipalArn": [arn], "sts:ExternalId": elements(external_id)}
    trust = json.loads(role.assume_role_policy_document)
    return any(
        f"arn:aws:iam::{caller.account_id}:root" in elements(statement["Principal"].get("AWS", []))
        and holds(statement.get("Condition", {}), context)
        for statement in elements(trust["Statement"])
    )


def check_action_permitted(self, _):
    policies = [IAMPolicy(policy)._policy_json for policy in self._access_key.collect_policies()]
    statements = [statement for policy in policies for statement in elements(policy["Statement"])]
    for action, resource, context in needed(self):
        permitted = any(allows(statement, action, resource, context) for statement in statements)
        if action == "sts:AssumeRole":
            permitted = permitted and trusts(self, resource)
        if not permitted:
            # For the tests to read; in a single write, because other threads print too.
            sys.stderr.write(f"\ndenied: {self._access_key.arn} {action} {resource} {context}\n")
            sys.stderr.flush()
            self._action = action
            self._raise_access_denied()


IAMRequestBase.check_action_permitted = check_action_permitted

# moto signs the form again as Python would encode it, with `+` for a space where the SDK writes `%20`, and
# so rejects the signature of a form with a space. Signatures are not under test here.
IAMRequestBase.check_signature = lambda self: None
