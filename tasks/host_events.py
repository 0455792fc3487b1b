"""A host's events: told by the publishers' module, kept here for the processes that know a host."""

from __future__ import annotations

from portal.hosts.serialize import host_as_json
from portal.live.publishers import host_changed

__all__ = ["host_as_json", "host_changed"]
