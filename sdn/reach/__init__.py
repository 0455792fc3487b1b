"""Who reaches whom, by an intent: pairs, matrices, and what an edit would change. Pure; the switches are a TraceWorld."""

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

__all__ = [
    "SOURCE",
    "TARGET",
    "AddRule",
    "Cell",
    "Changed",
    "Edit",
    "Matrix",
    "RemoveRule",
    "Scene",
    "Service",
    "SetRoute",
    "changed_pairs",
    "edited",
    "flow_diff",
    "matrix",
    "port_classes",
    "rule_of",
    "touched_pairs",
    "touched_services",
    "trace_pair",
]
