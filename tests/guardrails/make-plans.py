#!/usr/bin/env python3
"""Creates plans/*.json: real Terraform plans of the configurations below.

Needs terraform, the AWS provider and moto_server on the PATH. IDs, secrets and times are replaced, so that
a second run creates the same files. The tests only read the files; run this by hand. Arguments: the cases
to create; all by default.
"""
import json
import os
import re
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

PLANS = Path(__file__).parent / "plans"
PORT = "5599"
PROVIDER = 'terraform {\n  required_providers {\n    aws = { source = "hashicorp/aws" }\n  }\n}\n'
US = 'provider "aws" { region = "us-east-1" }\n'
SUFFIX = 'resource "terraform_data" "suffix" {}\n'


def user(label, name, more=""):
    return f'resource "aws_iam_user" "{label}" {{\n  name = {name}\n  {more}\n}}\n'


def key(label, user, more=""):
    return f'resource "aws_iam_access_key" "{label}" {{\n  user = {user}\n  {more}\n}}\n'


def module(label, source, more=""):
    return f'module "{label}" {{\n  source = "./{source}"\n  {more}\n}}\n'


def alias(name, more):
    return f'provider "aws" {{\n  alias = "{name}"\n  {more}\n}}\n'


def role(account):
    return f'region = "us-east-1"\n  assume_role {{ role_arn = "arn:aws:iam::{account}:role/deploy" }}'


DEPLOY = user("deploy", '"deploy"')
NEW = SUFFIX + user("new", '"deploy-${terraform_data.suffix.id}"')
OF_DEPLOY, OF_NEW = "aws_iam_user.deploy.name", "aws_iam_user.new.name"
TEAM = SUFFIX + user("team", '"${each.key}-${terraform_data.suffix.id}"', 'for_each = toset(["ann", "bob"])')
KEY_MODULE = {"key": 'variable "user" {}\n' + key("this", "var.user")}
CBD = "lifecycle { create_before_destroy = true }"
INACTIVE = 'status = "Inactive"'
ONE, TWO = key("one", OF_DEPLOY), key("two", OF_DEPLOY)

# The existing configuration (if any), the planned one, arguments to `terraform plan`, modules.
CASES = {
    "one-key": (None, DEPLOY + ONE, [], {}),
    "two-keys-of-a-literal-user": (None, key("one", '"deploy"') + key("two", '"deploy"'), [], {}),
    "same-labels": (
        None, NEW + key("new", OF_NEW) + key("two", OF_NEW) + 'data "aws_iam_user" "new" {\n  user_name = aws_iam_access_key.new.user\n}\n',
        [], {}),
    "case-differs": (None, key("one", '"Deploy"') + key("two", '"dePLOY"'), [], {}),
    "count-of-two": (None, DEPLOY + key("this", OF_DEPLOY, "count = 2"), [], {}),
    "for-each-of-one-user": (None, NEW + key("this", OF_NEW, 'for_each = toset(["blue", "green"])'), [], {}),
    "for-each-over-new-users": (
        None, TEAM + key("this", "each.value.name", "for_each = aws_iam_user.team"), [], {}),
    "for-each-over-new-users-twice": (
        None,
        TEAM + key("this", "each.value.name", "for_each = aws_iam_user.team")
        + key("looked_up", "aws_iam_user.team[each.key].name", 'for_each = toset(["ann"])')
        + key("of_bob", 'aws_iam_user.team["bob"].id', INACTIVE),
        [], {}),
    "one-of-a-counted-user": (
        None,
        SUFFIX + user("maybe", '"deploy-${terraform_data.suffix.id}"', "count = 1")
        + key("one", "one(aws_iam_user.maybe[*].name)") + key("two", "aws_iam_user.maybe[0].name"),
        [], {}),
    "either-of-a-counted-user": (
        None,
        SUFFIX + user("pair", '"deploy-${count.index}-${terraform_data.suffix.id}"', "count = 2")
        + key("one", "element(aws_iam_user.pair[*].name, 0)") + key("two", "element(aws_iam_user.pair[*].name, 1)"),
        [], {}),
    "name-known-after-apply": (None, NEW + key("one", OF_NEW) + key("two", "lower(aws_iam_user.new.id)"), [], {}),
    "known-name-by-unknown-id": (None, user("deploy", '"Deploy"') + ONE + key("two", "aws_iam_user.deploy.id"), [], {}),
    "unknown-names-of-two-users": (
        None, NEW + user("other", '"other-${terraform_data.suffix.id}"') + key("one", OF_NEW)
        + key("two", "aws_iam_user.other.name"), [], {}),
    "nested-modules": (
        None,
        NEW + module("team", "team", f'for_each = toset(["a.b", "module.x[0]"])\n  user = {OF_NEW}'),
        [], KEY_MODULE | {"team": 'variable "user" {}\n' + module("key", "../key", "user = var.user")}),
    "modules-over-new-users": (
        None, TEAM + module("key", "key", "for_each = aws_iam_user.team\n  user = each.value.name"), [], KEY_MODULE),
    "user-from-a-modules-output": (
        None,
        module("user", "user") + key("one", "module.user.name") + module("key", "key", "user = module.user.name"),
        [], KEY_MODULE | {"user": NEW + f'output "name" {{ value = {OF_NEW} }}\n'}),
    "existing-key-and-a-new-one": (DEPLOY + ONE, DEPLOY + ONE + TWO, [], {}),
    "two-existing-keys": (DEPLOY + ONE + TWO, DEPLOY + ONE + TWO, [], {}),
    "target-leaves-an-existing-key": (DEPLOY + ONE, DEPLOY + ONE + TWO, ["-target=aws_iam_access_key.two"], {}),
    "one-deleted-one-created": (DEPLOY + ONE, DEPLOY + TWO, [], {}),
    "replaced-destroy-first": (DEPLOY + ONE, DEPLOY + ONE, ["-replace=aws_iam_access_key.one"], {}),
    "replaced-create-first": (
        DEPLOY + key("one", OF_DEPLOY, CBD), DEPLOY + key("one", OF_DEPLOY, CBD), ["-replace=aws_iam_access_key.one"], {}),
    "replaced-create-first-inactive": (
        DEPLOY + key("one", OF_DEPLOY, INACTIVE + "\n" + CBD), DEPLOY + key("one", OF_DEPLOY, CBD),
        ["-replace=aws_iam_access_key.one"], {}),
    "inactive-second": (None, DEPLOY + ONE + key("two", OF_DEPLOY, INACTIVE), [], {}),
    "one-deactivated-one-created": (DEPLOY + ONE, DEPLOY + key("one", OF_DEPLOY, INACTIVE) + TWO, [], {}),
    "one-activated": (DEPLOY + ONE + key("two", OF_DEPLOY, INACTIVE), DEPLOY + ONE + TWO, [], {}),
    "status-known-after-apply": (
        None, SUFFIX + DEPLOY + ONE
        + key("two", OF_DEPLOY, 'status = length(terraform_data.suffix.id) > 40 ? "Active" : "Inactive"'), [], {}),
    "forgotten-key-and-a-new-one": (
        DEPLOY + ONE,
        DEPLOY + TWO + "removed {\n  from = aws_iam_access_key.one\n  lifecycle { destroy = false }\n}\n", [], {}),
    "moved-key": (
        DEPLOY + ONE, DEPLOY + TWO + "moved {\n  from = aws_iam_access_key.one\n  to = aws_iam_access_key.two\n}\n", [], {}),
    "two-accounts": (
        None,
        alias("red", role("111111111111")) + alias("blue", role("222222222222"))
        + key("one", '"deploy"', "provider = aws.red") + key("two", '"deploy"', "provider = aws.blue"),
        [], {}),
    "two-regions-of-one-account": (
        None,
        alias("west", 'region = "us-west-2"')
        + key("one", '"deploy"') + module("key", "key", 'user = "deploy"\n  providers = { aws = aws.west }'),
        [], KEY_MODULE),
    "no-iam": (None, SUFFIX, [], {}),
    "user-destroyed": (DEPLOY + ONE + TWO, SUFFIX, [], {}),
    "hostile-text": (
        None,
        key("this", '"x\\u001b[2J\\n::error::forged\\u202e"', 'for_each = toset(["a\\n::error::b", "c\\u202e"])'), [], {}),
}


def terraform(folder, *arguments):
    environment = os.environ | {
        "AWS_ENDPOINT_URL": f"http://127.0.0.1:{PORT}", "AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test",
    }
    return subprocess.run(["terraform", *arguments], cwd=folder, env=environment, check=True, capture_output=True, text=True).stdout


def reset():
    urllib.request.urlopen(urllib.request.Request(f"http://127.0.0.1:{PORT}/moto-api/reset", method="POST")).read()


def scrubbed(text):
    """A reproducible text without anything that looks like a credential."""
    for pattern, name in [
        (r"A[KI][IDA]{2}[0-9A-Z]{16}", "EXAMPLE-ID-{}"), (r"[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}", "example-uuid-{}")]:
        for number, found in enumerate(dict.fromkeys(re.findall(pattern, text)), 1):
            text = text.replace(found, name.format(number))
    text = re.sub(r'("(?:secret|ses_smtp_password_v4)":)"[^"]*"', r'\1"example"', text)
    text = re.sub(r'("unique_id":)"[^"]*"', r'\1"example"', text)
    return re.sub(r'"20\d\d-\d\d-\d\dT[\d:.]+Z?"', '"2026-01-01T00:00:00Z"', text)


def make(name, before, after, arguments, modules):
    with tempfile.TemporaryDirectory() as folder:
        reset()
        for label, text in modules.items():
            Path(folder, label).mkdir()
            Path(folder, label, "main.tf").write_text(PROVIDER + text)
        main = Path(folder, "main.tf")
        main.write_text(PROVIDER + US + (before or after))
        terraform(folder, "init")
        if before:
            terraform(folder, "apply", "-auto-approve")
        main.write_text(PROVIDER + US + after)
        terraform(folder, "plan", "-out", "planned", *arguments)
        plan = json.loads(scrubbed(terraform(folder, "show", "-json", "planned")))
        PLANS.joinpath(f"{name}.json").write_text(json.dumps(plan, indent=1) + "\n")


moto = subprocess.Popen(["moto_server", "-p", PORT], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
try:
    time.sleep(6)
    for name in sys.argv[1:] or CASES:
        print(name, flush=True)
        try:
            make(name, *CASES[name])
        except subprocess.CalledProcessError as failure:
            print(failure.stderr)
finally:
    moto.terminate()
