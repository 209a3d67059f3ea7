"""Writes the SAM template given as plain CloudFormation, as JSON: what CloudFormation itself is asked to deploy."""

import json
import sys

from samtranslator.translator.transform import transform
from samtranslator.yaml_helper import yaml_parse


class NoManagedPolicies:
    """The template names none, so nobody need ask IAM for theirs."""

    def load(self):
        return {}


with open(sys.argv[1], encoding="utf-8") as file:
    template = yaml_parse(file.read())
# `sam package` would put the code somewhere; here functions run from their bootstraps.
template["Globals"]["Function"].pop("CodeUri")
for resource in template["Resources"].values():
    if resource["Type"] == "AWS::Serverless::Function":
        resource["Properties"]["CodeUri"] = {"Bucket": "code", "Key": "function.zip"}
expanded = transform(template, {}, NoManagedPolicies())
for resource in expanded["Resources"].values():
    if resource["Type"] == "AWS::Lambda::Function":
        resource["Properties"]["Code"] = {"ZipFile": "none"}
    if resource["Type"] == "AWS::Lambda::EventSourceMapping":
        # moto would take messages for functions that it cannot run. The tests hand them over themselves.
        resource["Properties"]["Enabled"] = False
json.dump(expanded, sys.stdout)
