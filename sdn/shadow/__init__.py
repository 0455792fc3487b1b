"""A private Open vSwitch that moves no packet and answers questions about any set of flows."""

from sdn.shadow.shadow import Shadow, ShadowBridge, ShadowError, ShadowPort
from sdn.shadow.world import ShadowWorld, flow_mods

__all__ = ["Shadow", "ShadowBridge", "ShadowError", "ShadowPort", "ShadowWorld", "flow_mods"]
