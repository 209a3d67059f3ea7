"""CloudTrail records for logs: calls to several services as in real accounts, some of which change a key.

Each is a template with placeholders such as `@time@`, so that a million of them are written in seconds.
"""

import json
import re
from collections.abc import Callable

from measure.servers import ACCOUNT

#: A function that fills a record's placeholders with values.
Template = Callable[[dict[str, str]], str]

ROLE_AGENT = "aws-sdk-go-v2/1.30.3 os/linux lang/go#1.22.5 md/GOOS#linux md/GOARCH#arm64 api/{}#1.58.2"
CLI_AGENT = "aws-cli/2.17.20 md/awscrt#0.20.11 ua/2.0 os/linux#6.1.0 md/arch#x86_64 lang/python#3.11.9 cfg/retry-mode#standard"

ROLE = {
    "type": "AssumedRole",
    "principalId": "AROAZ3MGNB7KX5PLTD2EA:@session@",
    "arn": f"arn:aws:sts::{ACCOUNT}:assumed-role/service-@role@/@session@",
    "accountId": ACCOUNT,
    "accessKeyId": "ASIA@key@",
    "sessionContext": {
        "sessionIssuer": {
            "type": "Role",
            "principalId": "AROAZ3MGNB7KX5PLTD2EA",
            "arn": f"arn:aws:iam::{ACCOUNT}:role/service-@role@",
            "accountId": ACCOUNT,
            "userName": "service-@role@",
        },
        "attributes": {"creationDate": "2025-01-01T00:00:00Z", "mfaAuthenticated": "false"},
    },
}
USER = {
    "type": "IAMUser",
    "principalId": "AIDAZ3MGNB7KQ2FH4YXTC",
    "arn": f"arn:aws:iam::{ACCOUNT}:user/admin-@role@",
    "accountId": ACCOUNT,
    # A user signs with the same key for a long time.
    "accessKeyId": "AKIAEXAMPLEADMIN@role@",
    "userName": "admin-@role@",
}
TLS = {"tlsVersion": "TLSv1.3", "cipherSuite": "TLS_AES_128_GCM_SHA256"}
VOLUME = {"deviceName": "/dev/xvda", "ebs": {"volumeSize": 20, "deleteOnTermination": True, "volumeType": "gp3", "encrypted": True}}
POLICY = {
    "Version": "2012-10-17",
    "Statement": [{"Effect": "Allow", "Action": ["iam:CreateAccessKey", "iam:ListUsers"], "Resource": "arn:aws:iam::*:user/@role@"}],
}


def _record(service: str, name: str, asked: object, answered: object = None, who: dict = ROLE, **more: object) -> Template:
    record = {
        "eventVersion": "1.11",
        "userIdentity": who,
        "eventTime": "@time@",
        "eventSource": f"{service}.amazonaws.com",
        "eventName": name,
        "awsRegion": "us-east-1",
        "sourceIPAddress": "@address@",
        "userAgent": ROLE_AGENT.format(service) if who is ROLE else CLI_AGENT,
        "requestParameters": asked,
        "responseElements": answered,
        "requestID": "@request@",
        "eventID": "@id@",
        "readOnly": name.startswith(("Get", "List", "Describe", "Lookup", "Head")),
        "eventType": "AwsApiCall",
        "managementEvent": service != "s3",
        "recipientAccountId": ACCOUNT,
        "eventCategory": "Data" if service == "s3" else "Management",
        "tlsDetails": {**TLS, "clientProvidedHostHeader": f"{service}.us-east-1.amazonaws.com"},
        **more,
    }
    text = json.dumps(record, separators=(",", ":")).replace("%", "%%")
    return re.sub(r"@(\w+)@", r"%(\1)s", text).__mod__


def _bucket(name: str, **asked: str) -> Template:
    place = {"bucketName": "data-@role@", "Host": "data-@role@.s3.us-east-1.amazonaws.com", "key": "year=2025/part-@request@.parquet"}
    resources = [
        {"type": "AWS::S3::Object", "ARN": "arn:aws:s3:::data-@role@/year=2025/part-@request@.parquet"},
        {"accountId": ACCOUNT, "type": "AWS::S3::Bucket", "ARN": "arn:aws:s3:::data-@role@"},
    ]
    additional = {"SignatureVersion": "SigV4", "CipherSuite": TLS["cipherSuite"], "bytesTransferredIn": 0,
                  "AuthenticationMethod": "AuthHeader", "x-amz-id-2": "@key@@key@/@id@=", "bytesTransferredOut": 52_310}  # fmt: skip
    return _record("s3", name, {**place, **asked}, resources=resources, additionalEventData=additional)


def _key_change(name: str, asked: dict, answered: object = None) -> Template:
    return _record("iam", name, {"userName": "@user@", **asked}, answered, who=USER)


#: The most common calls of accounts.
OTHERS = [
    _bucket("GetObject"),
    _bucket("PutObject", **{"x-amz-server-side-encryption": "aws:kms"}),
    _bucket("HeadObject"),
    _record("sts", "AssumeRole", {"roleArn": f"arn:aws:iam::{ACCOUNT}:role/service-@role@", "roleSessionName": "@session@", "durationSeconds": 3600},
            {"credentials": {"accessKeyId": "ASIA@key@", "sessionToken": "IQoJb3JpZ2luX2VjE@key@@key@@key@@key@@key@", "expiration": "@time@"},
             "assumedRoleUser": {"assumedRoleId": "AROAZ3MGNB7KX5PLTD2EA:@session@", "arn": f"arn:aws:sts::{ACCOUNT}:assumed-role/service-@role@/@session@"}}),
    _record("kms", "Decrypt", {"encryptionAlgorithm": "SYMMETRIC_DEFAULT", "keyId": f"arn:aws:kms:us-east-1:{ACCOUNT}:key/@id@",
                               "encryptionContext": {"aws:s3:arn": "arn:aws:s3:::data-@role@"}}),
    _record("ec2", "DescribeInstances", {"maxResults": 1000, "instancesSet": {}, "filterSet": {"items": [
            {"name": "tag:service", "valueSet": {"items": [{"value": "service-@role@"}, {"value": "batch \"night\""}]}},
            {"name": "instance-state-name", "valueSet": {"items": [{"value": "running"}, {"value": "pending"}]}}]}}),
    _record("ec2", "RunInstances", {"instancesSet": {"items": [{"imageId": "ami-0@session@", "minCount": 1, "maxCount": 4}]},
                                    "instanceType": "m7g.large", "blockDeviceMapping": {"items": [VOLUME]}, "monitoring": {"enabled": False}},
            {"requestId": "@request@", "reservationId": "r-0@session@", "ownerId": ACCOUNT, "instancesSet": {"items": [
                {"instanceId": "i-0@session@", "instanceState": {"code": 0, "name": "pending"}, "privateIpAddress": "@address@",
                 "placement": {"availabilityZone": "us-east-1c", "tenancy": "default"}, "architecture": "arm64", "tagSet": {"items": []}}]}}),
    _record("dynamodb", "DescribeTable", {"tableName": "orders-@role@"}),
    _record("logs", "CreateLogStream", {"logGroupName": "/aws/lambda/service-@role@", "logStreamName": "2025/01/01/[$LATEST]@session@"}),
    _record("lambda", "GetFunction20150331v2", {"functionName": f"arn:aws:lambda:us-east-1:{ACCOUNT}:function:service-@role@"}),
    _record("secretsmanager", "GetSecretValue", {"secretId": f"arn:aws:secretsmanager:us-east-1:{ACCOUNT}:secret:service-@role@/database"}),
    _record("ssm", "GetParameter", {"name": "/service-@role@/endpoint", "withDecryption": True}, errorCode="AccessDenied",
            errorMessage=f"User: arn:aws:sts::{ACCOUNT}:assumed-role/service-@role@/@session@ is not authorized to perform: ssm:GetParameter"),
    _record("iam", "GetRole", {"roleName": "service-@role@"}, who=USER),
]  # fmt: skip

#: Calls that mention access keys, or even a call that changes them, and change none.
MENTIONS = [
    _record("iam", "ListAccessKeys", {"userName": "robot-@role@"}, who=USER),
    _record("iam", "GetAccessKeyLastUsed", {"accessKeyId": "AKIA@key@"}, {"userName": "robot-@role@"}, who=USER),
    _record("iam", "ListUsers", None, who=USER, userAgent=f"{CLI_AGENT} md/command#iam.CreateAccessKey"),
    _record("iam", "PutUserPolicy", {"userName": "robot-@role@", "policyName": "keys", "policyDocument": json.dumps(POLICY)}, who=USER),
    _record("cloudtrail", "LookupEvents", {"maxResults": 50, "lookupAttributes": [{"attributeKey": "EventName", "attributeValue": "CreateAccessKey"}]}),
]  # fmt: skip

_CREATE = _key_change("CreateAccessKey", {}, {"accessKey": {
    "accessKeyId": "AKIA@changed@", "status": "Active", "userName": "@user@", "createDate": "Jan 1, 2025 12:00:00 AM"}})  # fmt: skip
_DISABLE = _key_change("UpdateAccessKey", {"status": "Inactive", "accessKeyId": "AKIA@changed@"})
_DELETE = _key_change("DeleteAccessKey", {"accessKeyId": "AKIA@changed@"})

#: The changes of a user's keys: a rotation, one without cleanup, and the life of a single key.
STORIES = [
    [(_CREATE, 0), (_CREATE, 1), (_DELETE, 0)],
    [(_CREATE, 0), (_CREATE, 1), (_DISABLE, 0)],
    [(_CREATE, 0), (_DISABLE, 0), (_DELETE, 0)],
]

#: What happens to a user's keys again and again where keys change all the time, key by key: `0` is the newest, `1` the one
#: before. A rotation, one with a day of grace for the old key, and a job that makes a key of its own and removes it.
CYCLES = [
    [(_CREATE, 0), (_DELETE, 1)],
    [(_CREATE, 0), (_DISABLE, 1), (_DELETE, 1)],
    [(_CREATE, 0), (_DELETE, 0)],
]
