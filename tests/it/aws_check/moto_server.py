"""A moto server in which a stack consists of the resources that it has created. Else a condition that
is false leaves a hole, at which moto fails."""

from moto.cloudformation.models import Stack
from moto.server import main

Stack.stack_resources = property(lambda stack: [one for one in stack.resource_map.values() if one])
main()
