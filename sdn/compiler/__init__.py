"""Intent to flows, pure."""

from sdn.compiler.compile import compile_host
from sdn.compiler.external import Ours, Outside, outsides_of, vlan_tag
from sdn.compiler.responders import SSH_PROBE_PORT

__all__ = ["SSH_PROBE_PORT", "Ours", "Outside", "compile_host", "outsides_of", "vlan_tag"]
