"""`sam deploy` against moto: infra/template.yaml without its functions, which moto cannot run, what
depends on them, and what moto's CloudFormation does not have. Refuses parameters as CloudFormation
does."""

import json
import os
import re
import sys

from awscli.botocore.session import Session
from awscli.customizations.cloudformation.yamlhelper import yaml_parse

MISSING = {
    "AWS::CloudTrail::Trail",
    "AWS::CloudWatch::Alarm",
    "AWS::Events::EventBusPolicy",
    "AWS::S3::BucketPolicy",
    "AWS::SNS::Subscription",
    "AWS::SNS::TopicPolicy",
    "AWS::SQS::QueuePolicy",
    "AWS::Serverless::Function",
}


def names_any(node, names):
    if isinstance(node, dict):
        return any(names_any(value, names) for value in node.values())
    if isinstance(node, list):
        return any(names_any(value, names) for value in node)
    return isinstance(node, str) and (
        node in names or any(re.search(rf"\$\{{{name}(\.\w+)?\}}", node) for name in names)
    )


def as_moto_can(template):
    resources = template["Resources"]
    gone = {name for name, resource in resources.items() if resource["Type"] in MISSING}
    while gone:
        for name in gone:
            resources.pop(name)
        gone = {name for name, resource in resources.items() if names_any(resource, gone)}
    for section in ("Transform", "Globals", "Outputs", "Rules", "Metadata"):
        template.pop(section)
    return template


def main(arguments):
    with open(os.environ["CALLS"], "a", encoding="utf-8") as file:
        file.write(f"{os.environ.get('AWS_PROFILE')} sam {' '.join(arguments)}\n")
    if arguments[0] == "build":
        return
    with open("template.yaml", encoding="utf-8") as file:
        template = yaml_parse(file.read())
    start = arguments.index("--parameter-overrides") + 1
    given = dict(one.split("=", 1) for one in arguments[start:])
    for name, value in given.items():
        allowed = template["Parameters"][name]
        assert re.search(allowed.get("AllowedPattern", ""), value), (name, value)
        assert value in allowed.get("AllowedValues", [value]), (name, value)
    name = arguments[arguments.index("--stack-name") + 1]
    region = arguments[arguments.index("--region") + 1]
    alarms = [name for name, one in template["Resources"].items() if one["Type"] == "AWS::CloudWatch::Alarm"]
    cloudformation = Session(profile="central").create_client("cloudformation", region_name=region)
    cloudformation.create_stack(
        StackName=name,
        TemplateBody=json.dumps(as_moto_can(template)),
        Parameters=[{"ParameterKey": key, "ParameterValue": value} for key, value in given.items()],
        Capabilities=["CAPABILITY_NAMED_IAM"],
    )

    cloudwatch = Session(profile="central").create_client("cloudwatch", region_name=region)
    for alarm in alarms:
        cloudwatch.put_metric_alarm(
            AlarmName=f"{name}-{alarm}",
            Namespace="AWS/SQS",
            MetricName="ApproximateNumberOfMessagesVisible",
            Statistic="Maximum",
            Period=60,
            EvaluationPeriods=1,
            Threshold=0,
            ComparisonOperator="GreaterThanThreshold",
        )


main(sys.argv[1:])
