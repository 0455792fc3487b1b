"""What a host's kernel says of a tap: Open vSwitch reads link state, MTU, address and driver from it (ethtool, sysfs).

OVSDB is the one door that every host has, remote ones too, so it is asked rather than sysfs itself.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass

DEADLINE_S = 5
COLUMNS = ("name", "link_state", "admin_state", "mtu", "mac_in_use", "type", "status", "statistics")


@dataclass(frozen=True, slots=True)
class TapFacts:
    """One interface of the switch as it is now; empty or 0 where the switch does not know."""

    link: str = ""
    mtu: int = 0
    mac: str = ""
    driver: str = ""
    dropped: int = 0


def read_taps(ovsdb: str, names: tuple[str, ...]) -> Mapping[str, TapFacts]:
    """The taps that the switch has, by name; those that it has not are left out, and a switch that is away has none."""
    if not names:
        return {}
    argv = ["ovs-vsctl", f"--db={ovsdb}", f"--timeout={DEADLINE_S}", "--format=json", "--if-exists", f"--columns={','.join(COLUMNS)}", "list", "Interface", *names]  # fmt: skip
    try:
        done = subprocess.run(argv, capture_output=True, text=True, timeout=DEADLINE_S + 1, stdin=subprocess.DEVNULL, check=False)  # fmt: skip
    except (OSError, subprocess.TimeoutExpired):
        return {}
    return parse_taps(done.stdout) if done.returncode == 0 else {}


def parse_taps(text: str) -> dict[str, TapFacts]:
    """The answer of `ovs-vsctl --format=json list Interface`; anything else is empty."""
    try:
        table = json.loads(text)
        rows = [dict(zip(table["headings"], row, strict=True)) for row in table["data"]]
        return {str(row["name"]): _facts(row) for row in rows}
    except (ValueError, KeyError, TypeError):
        return {}


def _facts(row: Mapping[str, object]) -> TapFacts:
    status, statistics = _map(row["status"]), _map(row["statistics"])
    mtu, dropped = row["mtu"], statistics.get("tx_dropped", 0)
    return TapFacts(
        link=_text(row["link_state"]) or _text(row["admin_state"]),
        mtu=mtu if isinstance(mtu, int) else 0,
        mac=_text(row["mac_in_use"]),
        driver=str(status.get("driver_name", "")) or _text(row["type"]),
        dropped=dropped if isinstance(dropped, int) else 0,
    )


def _text(value: object) -> str:
    """A column's text; OVSDB writes an empty one as ["set", []]."""
    return value if isinstance(value, str) else ""


def _map(value: object) -> dict[str, object]:
    pairs = value[1] if isinstance(value, list) and len(value) == 2 and value[0] == "map" else []
    return {str(key): item for key, item in pairs}
