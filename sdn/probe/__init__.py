"""Real packets sent on purpose: what is ordered, what is reported, and how a frame keeps its token.

Apart from `sdn.controller`, which sends them, so that whoever only orders one need not load the whole controller.
"""

from sdn.probe.frames import TOKEN_BYTES, build_frame, token_of
from sdn.probe.values import ProbeOrder, ProbeReport

__all__ = ["TOKEN_BYTES", "ProbeOrder", "ProbeReport", "build_frame", "token_of"]
