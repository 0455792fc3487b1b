"""What the compose files read and what the docs say of it; no engine is needed."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[2]
BASE, HOSTS = ((ROOT / name).read_text() for name in ("docker-compose.yml", "deploy/hosts.yml"))
TOLD = "".join(path.read_text() for path in [*(ROOT / "docs").glob("*.md"), ROOT / "deploy/env.example"])
BY_ITSELF = {"HOPSIGHT_BASE", "HOPSIGHT_TLS"}  # the tests' own image; deploy/hosts.yml sets it


def test_every_setting_that_a_compose_file_reads_is_told() -> None:
    read = set(re.findall(r"\$\{(\w+)", BASE + HOSTS))
    assert len(read) > 30
    assert not {name for name in read - BY_ITSELF if name not in TOLD}


def test_hosts_on_other_machines_change_services_that_there_are() -> None:
    base, hosts = yaml.safe_load(BASE), yaml.safe_load(HOSTS)
    assert hosts["version"] == base["version"] and set(hosts["services"]) < set(base["services"])
    near: dict[str, Any]
    for name, near in hosts["services"].items():
        assert "/etc/hopsight/tls:ro" in near["volumes"][0] and base["services"][name]["cap_drop"] == ["ALL"]
    ports = re.findall(r"ssl:192\.0\.2\.2:(\d+)", TOLD)
    first, last = (int(number) for number in hosts["services"]["controller"]["ports"][0].split(":")[0].split("-"))
    assert ports and all(first <= int(port) <= last for port in ports)
