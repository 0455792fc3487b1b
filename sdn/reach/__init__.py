"""Who reaches whom, by an intent: pairs, matrices, and what an edit would change. Pure; the switches are a TraceWorld."""

from sdn.reach.among import Differing, differing
from sdn.reach.classes import port_classes
from sdn.reach.edits import (
    AddRule,
    Edit,
    RemoveRule,
    SetRoute,
    edited,
    flow_diff,
    rule_of,
    touched_pairs,
    touched_services,
)
from sdn.reach.matrix import SOURCE, TARGET, Cell, Changed, Matrix, changed_pairs, matrix, trace_pair
from sdn.reach.pairs import Scene, Service
from sdn.reach.touched import Asked, Changes, Footprint, SwitchState, Watched

__all__ = [
    "SOURCE",
    "TARGET",
    "AddRule",
    "Asked",
    "Cell",
    "Changed",
    "Changes",
    "Differing",
    "Edit",
    "Footprint",
    "Matrix",
    "RemoveRule",
    "Scene",
    "Service",
    "SetRoute",
    "SwitchState",
    "Watched",
    "changed_pairs",
    "differing",
    "edited",
    "flow_diff",
    "matrix",
    "port_classes",
    "rule_of",
    "touched_pairs",
    "touched_services",
    "trace_pair",
]
