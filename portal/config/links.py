"""Where the pages are that other processes than the web's link to.

`reverse` would load every page and the whole API there: 25 MiB for as long as the process runs. A test holds each to it.
"""

from __future__ import annotations

PLACES = {
    "external_networks": "/external-networks/",
    "floating": "/floating/",
    "mirrors": "/mirrors/",
    "network": "/networks/{}/",
    "router": "/routers/{}/",
    "routers": "/routers/",
    "security_group": "/security-groups/{}/",
    "trace_new": "/trace/",
    "vm": "/vms/{}/",
}


def link(name: str, *args: object) -> str:
    """The path of the page of that name."""
    return PLACES[name].format(*args)
