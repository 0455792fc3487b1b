"""Intent to flows, pure."""

from sdn.compiler.compile import HostCompiler, compile_host
from sdn.compiler.external import Ours, Outside, outsides_of
from sdn.compiler.index import IntentIndex, index_intent
from sdn.compiler.pieces import Memo
from sdn.compiler.responders import SSH_PROBE_PORT
from sdn.compiler.segments import vlan_tag

__all__ = [
    "SSH_PROBE_PORT",
    "HostCompiler",
    "IntentIndex",
    "Memo",
    "Ours",
    "Outside",
    "compile_host",
    "index_intent",
    "outsides_of",
    "vlan_tag",
]
