"""Intent to flows, pure."""

from sdn.compiler.compile import SSH_PROBE_PORT, compile_host

__all__ = ["SSH_PROBE_PORT", "compile_host"]
