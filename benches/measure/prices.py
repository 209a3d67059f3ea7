"""AWS's public prices in us-east-1, in dollars, without free tiers; as known in November 2026. Check them: they change."""

from dataclasses import dataclass

AS_OF = "November 2026"
REGION = "us-east-1"


@dataclass(frozen=True)
class Price:
    """The price of a number of units."""

    of: str
    dollars: float
    per: float
    page: str

    def times(self, count: float) -> float:
        return self.dollars * count / self.per


_MILLION = 1e6

WRITE_UNIT = Price("DynamoDB on demand, write request units", 0.625, _MILLION, "aws.amazon.com/dynamodb/pricing/on-demand")
READ_UNIT = Price("DynamoDB on demand, read request units", 0.125, _MILLION, "aws.amazon.com/dynamodb/pricing/on-demand")
LAMBDA_REQUEST = Price("Lambda, requests", 0.20, _MILLION, "aws.amazon.com/lambda/pricing")
LAMBDA_GB_SECOND = Price("Lambda on arm64, GB-seconds", 13.3334, _MILLION, "aws.amazon.com/lambda/pricing")
SQS_REQUEST = Price("SQS standard, requests", 0.40, _MILLION, "aws.amazon.com/sqs/pricing")
SNS_PUBLISH = Price("SNS standard, publishes of up to 64 KB", 0.50, _MILLION, "aws.amazon.com/sns/pricing")
PUT_EVENT = Price("EventBridge, custom events of up to 64 KB", 1.00, _MILLION, "aws.amazon.com/eventbridge/pricing")
LOG_BYTE = Price("CloudWatch Logs, bytes taken in", 0.50, 1e9, "aws.amazon.com/cloudwatch/pricing")

ALL = [WRITE_UNIT, READ_UNIT, LAMBDA_REQUEST, LAMBDA_GB_SECOND, SQS_REQUEST, SNS_PUBLISH, PUT_EVENT, LOG_BYTE]
