"""The real AWS CLI against moto, with what moto lacks: CloudTrail's records, the detector's alerts,
alarms that act, findings in Security Hub, dead letters, and the region guard. Logs each call to the
file CALLS.

Serves the program `aws` on the port that is its argument, because importing the CLI takes a second.
"""

import contextlib
import io
import json
import os
import socketserver
import sys
import uuid
from datetime import UTC, datetime

from awscli.botocore.session import Session
from awscli.clidriver import create_clidriver

ACCOUNTS = {"central": "123456789012", "member": "444455556666"}
EVENTS = {
    "create-access-key": "CreateAccessKey",
    "update-access-key": "UpdateAccessKey",
    "delete-access-key": "DeleteAccessKey",
    "attach-user-policy": "AttachUserPolicy",
    "update-user": "UpdateUser",
    "delete-user": "DeleteUser",
}


def option(arguments, name):
    return arguments[arguments.index(name) + 1] if name in arguments else None


def record(account, arguments, printed):
    """Appends what CloudTrail records about a call of IAM to the file TRAIL."""
    user = option(arguments, "--user-name")
    key = option(arguments, "--access-key-id")
    request = {
        "userName": user,
        "accessKeyId": key,
        "status": option(arguments, "--status"),
        "newUserName": option(arguments, "--new-user-name"),
        "policyArn": option(arguments, "--policy-arn"),
    }
    response = None
    if arguments[1] == "create-access-key":
        response = {"accessKey": {"userName": user, "accessKeyId": printed.strip(), "status": "Active"}}
    event = {
        "eventVersion": "1.11",
        "eventID": str(uuid.uuid4()),
        "eventTime": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "eventSource": "iam.amazonaws.com",
        "eventName": EVENTS[arguments[1]],
        "awsRegion": "us-east-1",
        "sourceIPAddress": "198.51.100.24",
        "userAgent": "aws-cli",
        "recipientAccountId": account,
        "requestParameters": {name: value for name, value in request.items() if value},
        "responseElements": response,
        "userIdentity": {"type": "IAMUser", "accountId": account, "userName": "dana",
                         "arn": f"arn:aws:iam::{account}:user/dana"},
    }
    with open(os.environ["TRAIL"], "a", encoding="utf-8") as file:
        file.write(json.dumps(event) + "\n")


def publish(ending, text):
    """Publishes `text` to the topics of the deployment, as the detector and CloudWatch do."""
    sns = Session(profile="central").create_client("sns")
    for topic in sns.list_topics()["Topics"]:
        if topic["TopicArn"].endswith(ending):
            sns.publish(TopicArn=topic["TopicArn"], Message=text)


def run(arguments, endpoint):
    """Runs the CLI. It calls SQS at a fixed host unless an option says otherwise."""
    return create_clidriver().main([*arguments, "--endpoint-url", endpoint])


def is_accepted(arguments):
    """Whether the CLI accepts a call and sends it. Nothing listens at the port."""
    errors = io.StringIO()
    with contextlib.redirect_stderr(errors):
        run(arguments, "http://127.0.0.1:9")
    sys.stderr.write(errors.getvalue())
    return "Could not connect" in errors.getvalue()


def in_place_of_moto(arguments):
    """What AWS prints, and the exit code, for a call that moto does not answer as AWS does."""
    call, stack = arguments[:2], option(arguments, "--stack-name") or ""
    logical = option(arguments, "--logical-resource-id") or ""
    if call == ["cloudformation", "deploy"] and stack.endswith("-elsewhere"):
        return "ValidationError: IAM events never arrive in this region.", 254
    if logical.endswith("Alarm"):
        return f"{stack}-{logical}", 0
    if stack.endswith("-member") and logical:
        # moto creates the stack with the central account's conditions, without the rule.
        return f"{stack}-{logical}", 0
    if call == ["events", "list-targets-by-rule"]:
        name = option(arguments, "--rule").removesuffix("-member-ChangesRule")
        bus = f"arn:aws:events:us-east-1:{ACCOUNTS['central']}:event-bus/{name}"
        queue = f"arn:aws:sqs:us-east-1:{ACCOUNTS['central']}:{name}-member-dead-letters"
        return json.dumps({"Targets": [{"Id": "central", "Arn": bus, "DeadLetterConfig": {"Arn": queue}}]}), 0
    if call == ["cloudwatch", "describe-alarm-history"]:
        return "Successfully executed action arn:aws:sns:us-east-1:123456789012:alarms", 0
    if call == ["events", "put-events"]:
        sqs = Session(profile="central").create_client("sqs", region_name="us-east-1")
        for url in sqs.list_queues().get("QueueUrls", []):
            if url.endswith("-member-dead-letters"):
                sqs.send_message(QueueUrl=url, MessageBody=option(arguments, "--entries"))
        return "", 0
    return None


def aws(arguments):
    answer = in_place_of_moto(arguments)
    if answer is not None:
        text, code = answer
        print(text)
        return code if is_accepted(arguments) else 2
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        code = run(arguments, os.environ["AWS_ENDPOINT_URL"])
    sys.stdout.write(printed.getvalue())
    if code != 0:
        return code
    if arguments[0] == "iam" and arguments[1] in EVENTS:
        record(ACCOUNTS[os.environ["AWS_PROFILE"]], arguments, printed.getvalue())
    if arguments[:2] == ["iam", "create-access-key"]:
        publish("-alerts", f"two active keys: {option(arguments, '--user-name')}")
    if arguments[:2] == ["securityhub", "get-findings"]:
        with open(os.environ["TRAIL"], encoding="utf-8") as file:
            sys.stdout.write(file.read())
    if arguments[:2] == ["cloudwatch", "set-alarm-state"]:
        publish("-alarms", option(arguments, "--alarm-name"))
    return 0


class Handler(socketserver.StreamRequestHandler):
    """Runs one call, in a process of its own. The client sends the number of its texts, and each with a
    zero byte: the folder, the profile, the region, where the output goes, and the arguments."""

    def handle(self):
        count = self.rfile.read(4)
        if count == b"GET ":
            self.wfile.write(b"HTTP/1.0 200 OK\r\n\r\n")
            return
        texts = b""
        while texts.count(b"\0") < int(count):
            texts += self.rfile.read(1)
        folder, profile, region, output, *arguments = texts.decode().split("\0")[:-1]
        os.chdir(folder)
        os.environ.update(AWS_PROFILE=profile, AWS_DEFAULT_REGION=region)
        with open(os.environ["CALLS"], "a", encoding="utf-8") as file:
            file.write(f"{profile} aws {' '.join(arguments)}\n")
        with (
            open(f"{output}.out", "w", encoding="utf-8") as out,
            open(f"{output}.err", "w", encoding="utf-8") as err,
            contextlib.redirect_stdout(out),
            contextlib.redirect_stderr(err),
        ):
            try:
                code = aws(arguments)
            except SystemExit as refused:
                code = refused.code
        self.wfile.write(f"{code}\n".encode())


class Server(socketserver.ForkingTCPServer):
    allow_reuse_address = True
    max_children = 8


with Server(("127.0.0.1", int(sys.argv[1])), Handler) as server:
    server.serve_forever()
