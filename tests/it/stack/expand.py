"""Writes the given SAM template as plain CloudFormation in JSON, as CloudFormation receives it."""

import json
import sys

from samtranslator.translator.transform import transform
from samtranslator.yaml_helper import yaml_parse


class NoManagedPolicies:
    """The template names no managed policies, so IAM need not be asked for them."""

    def load(self):
        return {}


with open(sys.argv[1], encoding="utf-8") as file:
    template = yaml_parse(file.read())
# `sam package` would upload the code; here functions run from their bootstraps.
template["Globals"]["Function"].pop("CodeUri")
for resource in template["Resources"].values():
    if resource["Type"] == "AWS::Serverless::Function":
        resource["Properties"]["CodeUri"] = {"Bucket": "code", "Key": "function.zip"}
expanded = transform(template, {}, NoManagedPolicies())
for resource in expanded["Resources"].values():
    if resource["Type"] == "AWS::Lambda::Function":
        resource["Properties"]["Code"] = {"ZipFile": "none"}
    if resource["Type"] == "AWS::Lambda::EventSourceMapping":
        # moto would receive messages for functions that it cannot run. The tests pass them on themselves.
        resource["Properties"]["Enabled"] = False
json.dump(expanded, sys.stdout)
