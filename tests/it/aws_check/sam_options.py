"""Reads the arguments of one call of SAM from each line of standard input, as a JSON array, and prints
the values that SAM reads from them. Fails at the first call that SAM refuses."""

import json
import sys

from samcli.cli.main import cli

for line in sys.stdin:
    words = json.loads(line)
    root = cli.make_context("sam", list(words))
    with root:
        name, command, rest = cli.resolve_command(root, list(words))
        values = command.make_context(name, rest, parent=root).params
    wanted = ["config_file", "stack_name", "s3_bucket", "s3_prefix", "resolve_s3", "confirm_changeset"]
    print(json.dumps({"command": name} | {value: values.get(value) for value in wanted}))
