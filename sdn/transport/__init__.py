"""Bytes to and from the hosts' daemons: OpenFlow, OVSDB, unixctl."""

import warnings

# ovs.poller imports eventlet whenever it is installed (os-ken requires it), and eventlet says that it is deprecated.
warnings.filterwarnings("ignore", message=r"\s*Eventlet is deprecated")
