"""Packets copied off a path on purpose: which flows copy them, what they say, and the file that they end in. Pure."""

from sdn.capture.decode import summary_of
from sdn.capture.flows import capture_flows, mark_of
from sdn.capture.join import Meeting, join
from sdn.capture.pcapng import format_pcapng
from sdn.capture.read import packet_as_json, packet_from_json, packet_of
from sdn.capture.values import Captured, CaptureOrder, CapturePoint

__all__ = [
    "CaptureOrder", "CapturePoint", "Captured", "Meeting", "capture_flows", "format_pcapng", "join", "mark_of", "packet_as_json",
    "packet_from_json", "packet_of", "summary_of",
]  # fmt: skip
