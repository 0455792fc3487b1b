"""Intent to flows, pure."""

from sdn.compiler.compile import compile_host
from sdn.compiler.responders import SSH_PROBE_PORT

__all__ = ["SSH_PROBE_PORT", "compile_host"]
