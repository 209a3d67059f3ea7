"""Prints infra/template.yaml with the code of each function taken from a bucket.

CloudFormation then deploys a release as it is: nothing is built. Everything else stays as written;
the test `the_packaged_template_differs_only_in_where_code_comes_from` compares the two.

Arguments: the template, and the version of the release.
"""

import re
import sys

PARAMETERS = """\
  CodeBucket:
    Type: String
    AllowedPattern: ^[a-z0-9][a-z0-9.-]{{1,61}}[a-z0-9]$
    Description: The bucket with the zips of the release. It must be in the region of this stack
  CodePrefix:
    Type: String
    Default: secondkey/{version}/
    AllowedPattern: ^$|^[A-Za-z0-9!_.*'()/-]*/$
    Description: What precedes the zips' names in the bucket, with a slash at its end. Give each release its own, or the functions keep their old code
  Architecture:
    Type: String
    Default: arm64
    AllowedValues: [arm64, x86_64]
    Description: The processor that the functions run on; arm64 costs less
"""

GROUP = """\
      - Label: {default: Code}
        Parameters: [CodeBucket, CodePrefix, Architecture]
"""

FUNCTION = re.compile(
    r"    Metadata:\n      BuildMethod: rust-cargolambda\n      BuildProperties: {Binary: (\w+)}\n    Properties:\n"
)
CODE = """\
    Properties:
      CodeUri:
        Bucket: !Ref CodeBucket
        Key: !Sub ${{CodePrefix}}{binary}-${{Architecture}}.zip
"""


def replaced(text, old, new):
    """`text` with `old`, which it must contain once, replaced."""
    found = text.count(old)
    if found != 1:
        sys.exit(f"the template contains {found} times, instead of once:\n{old}")
    return text.replace(old, new)


def packaged(text, version):
    text = replaced(text, "    ParameterGroups:\n", "    ParameterGroups:\n" + GROUP)
    text = replaced(text, "\nParameters:\n", "\nParameters:\n" + PARAMETERS.format(version=version))
    text = replaced(text, "    CodeUri: ..\n", "")
    text = replaced(
        text,
        "    # The one place for the architecture: `sam build` and `sam deploy` both read it. The other value\n"
        "    # is x86_64.\n"
        "    Architectures: [arm64]\n",
        "    Architectures: [!Ref Architecture]\n",
    )
    # A function may stand under a condition, after its type or before its metadata.
    functions = text.count("Type: AWS::Serverless::Function\n")
    text, found = FUNCTION.subn(lambda match: CODE.format(binary=match[1]), text)
    if found != functions:
        sys.exit(f"of the template's {functions} functions, {found} could be read")
    return text


if __name__ == "__main__":
    _, path, version = sys.argv
    with open(path, encoding="utf-8") as file:
        sys.stdout.write(packaged(file.read(), version))
