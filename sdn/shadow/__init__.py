"""A private Open vSwitch that moves no packet and answers questions about any set of flows."""

from sdn.shadow.shadow import Shadow, ShadowBridge, ShadowError, ShadowPort

__all__ = ["Shadow", "ShadowBridge", "ShadowError", "ShadowPort"]
