"""The cold path: from a function's spawn to its first question, and to the first alert."""

import statistics
from collections.abc import Callable
from contextlib import ExitStack

from measure import programs, world
from measure.page import Goal, Section, Table
from measure.programs import PEERS, VENV
from measure.runtime_api import Function
from measure.servers import dynamodb, moto
from measure.tls_proxy import Network, Proxies, proxies

#: Programs take turns, so that what the machine does beside touches all alike.
STARTS = 40
ALERTS = 15

#: The services that an alert needs.
SERVICES = ["DYNAMODB", "IAM", "SNS", "SQS"]
