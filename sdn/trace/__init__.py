"""Predicted traces: pure, but for `live`, which asks the hosts."""

from sdn.trace.live import LiveWorld
from sdn.trace.predict import predict
from sdn.trace.question import Endpoint, HostUnreachable, Question, TraceHost, TraceWorld
from sdn.trace.text import format_trace

__all__ = ["Endpoint", "HostUnreachable", "LiveWorld", "Question", "TraceHost", "TraceWorld", "format_trace", "predict"]
