"""The functions with the same task: the detector and its peers."""

import sys
from collections.abc import Sequence

from measure import programs
from measure.runtime_api import Answer, Function
from measure.world import World

DETECTOR, HANDLER, CUSTODIAN = "detector", "boto3 handler", "Cloud Custodian"


def start(
    name: str, world: World, environment: dict[str, str] | None = None, *, bus: bool = False, wrap: Sequence[str] = ()
) -> Function:
    """Starts a function in `world`. `environment` overrides its settings; `wrap` is a command that runs it."""
    environment = world.environment(bus=bus) | (environment or {})
    if name == DETECTOR:
        return Function([*wrap, programs.detector()], environment, "detector")
    module = {HANDLER: "handler", CUSTODIAN: "custodian_push"}[name]
    environment |= {"PYTHONPATH": str(programs.PEERS)}
    return Function([*wrap, sys.executable, "-m", "awslambdaric", f"{module}.handle"], environment, module)


def tell(function: Function, payload: dict) -> Answer:
    """Passes a batch to a function. No message may fail."""
    answer = function.invoke(payload)
    if answer.body != {"batchItemFailures": []}:
        raise RuntimeError(f"the function answered {answer.body}:\n{function.log.read_text()}")
    return answer
