"""The services of the world that is being served."""

from __future__ import annotations

from sandbox.business_central.answers import problem as bc_problem
from sandbox.business_central.service import BusinessCentral
from sandbox.entra import Entra
from sandbox.graph.answers import problem as graph_problem
from sandbox.graph.service import Graph
from sandbox.limits import Limits
from sandbox.wire import ApiError, Call, Reply
from sandbox.world import World


class Services:
    """Entra ID, Graph and Business Central over one world, with their limits.

    Whoever needs the world asks for it here each time: a reset puts another one in its place.
    """

    def __init__(self, world: World) -> None:
        #: Where they answer, without a slash at the end; the transport sets it.
        self.base = ""
        self.use(world)

    def use(self, world: World) -> None:
        """Serve this world from now on."""
        self.world = world
        self.entra = Entra(world)
        self.graph = Graph(world)
        self.bc = BusinessCentral(world)
        self.limits = Limits(world)

    def handle(self, call: Call) -> Reply:
        """Return what Graph or Business Central answers to one operation, at once and without limits."""
        return self.graph.handle(call) if call.service == "graph" else self.bc.handle(call)


def problem(call: Call, error: ApiError) -> Reply:
    """Return an error in the shape of the service that was called."""
    return graph_problem(call, error) if call.service == "graph" else bc_problem(call, error)
