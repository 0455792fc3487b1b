"""One VM for Terraform's `external` data source: a JSON object of strings comes in, one goes out; needs Python alone.

In: `name`, and perhaps `team`. Out: the VM's uuid, state, host, address and login_user. Where the server is and who asks is taken of the
environment (HOPSIGHT_URL, HOPSIGHT_TOKEN), so that no state file holds the token. A refusal is said on stderr, exit code 1.
"""

from __future__ import annotations

import json
import os
import sys
from urllib.error import HTTPError, URLError
from urllib.parse import urlencode
from urllib.request import Request, urlopen

TOLD = ("uuid", "name", "state", "host", "address", "login_user")


def vm(query: dict[str, str]) -> dict[str, str]:
    """The VM of that name. Raises LookupError where there is none."""
    headers = {"Authorization": f"Bearer {os.environ['HOPSIGHT_TOKEN']}", "Accept": "application/json"}
    if query.get("team"):
        headers["Hopsight-Team"] = query["team"]
    address = f"{os.environ['HOPSIGHT_URL'].rstrip('/')}/api/v1/vms?{urlencode({'name': query['name']})}"
    with urlopen(Request(address, headers=headers), timeout=30) as answer:
        found = json.load(answer)["items"]
    if not found:
        raise LookupError(f"the team has no VM {query['name']!r}")
    return {name: "" if found[0][name] is None else str(found[0][name]) for name in TOLD}


def main() -> int:
    """What `external` calls."""
    try:
        query = json.load(sys.stdin)
        if missing := [name for name in ("HOPSIGHT_URL", "HOPSIGHT_TOKEN") if not os.environ.get(name)]:
            raise LookupError(f"the environment lacks {', '.join(missing)}")
        if not query.get("name"):
            raise LookupError("the query lacks name")
        print(json.dumps(vm(query)))
    except HTTPError as refused:
        title = json.load(refused).get("title", "") if "json" in refused.headers.get("Content-Type", "") else ""
        print(f"Hopsight answered {refused.code}: {title or refused.reason}", file=sys.stderr)
        return 1
    except (LookupError, URLError, ValueError) as problem:
        print(problem, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
