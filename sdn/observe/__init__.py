"""What real traffic does: the datapath's own entries, read, joined over hosts, and laid over a predicted trace. Pure."""

from sdn.observe.conntrack import Connection, connections_of
from sdn.observe.datapath import DatapathFlow, parse_dump
from sdn.observe.follow import Glance, Passage, follow
from sdn.observe.observed import Explained, Rate, Seeing, observed_trace, part, three_way

__all__ = [
    "Connection", "DatapathFlow", "Explained", "Glance", "Passage", "Rate", "Seeing", "connections_of", "follow",
    "observed_trace", "parse_dump", "part", "three_way",
]  # fmt: skip
