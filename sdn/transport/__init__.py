"""Bytes to and from the hosts' daemons: OpenFlow, OVSDB, unixctl."""

import sys
from typing import Any, cast

# ovs.poller imports eventlet whenever it is installed (os-ken requires it): 16 MiB in each process, for hooks that only
# matter where eventlet runs the program. An entry of None makes that import fail, which ovs takes as "not installed".
cast(dict[str, Any], sys.modules).setdefault("eventlet", None)
