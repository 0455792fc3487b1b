"""A body that works for each operation that takes one: the docs page shows it, tests send it.

`$name` stands for what a reader has of their own: `$uuid` of the path's object, `$port`, `$receiver` (another port) and `$group` of one of theirs,
`$orphan` on the path's host, `$domain` that is foreign.
"""

from __future__ import annotations

import json
from typing import Any

BODIES: dict[str, dict[str, Any]] = {
    "POST /api/v1/vms": {"name": "api-1", "image": "tiny", "flavor": "nano", "network": "payments-net"},
    "PATCH /api/v1/vms/{uuid}": {"is_protected": True},
    "PUT /api/v1/hosts/{host}/maintenance": {"in_maintenance": True, "note": "new disks"},
    "POST /api/v1/hosts/{host}/clean": {"orphans": ["$orphan"], "typed": "hv8"},
    "POST /api/v1/adoption-plans": {"domain": "$domain", "team": "payments", "name": "legacy-db"},
    "POST /api/v1/adoptions": {
        "domain": "$domain",
        "team": "payments",
        "name": "legacy-db",
        "nics": [{"mac": "52:54:00:aa:00:01", "network": "payments-net"}],
    },
    "POST /api/v1/migrations": {"vm": "$vm"},
    "POST /api/v1/snippets": {"name": "Motd", "text": "#!/bin/sh\necho hello > /etc/motd\n"},
    "POST /api/v1/vms/{uuid}/resize": {"flavor": "S"},
    "POST /api/v1/vms/{uuid}/devices": {"disk_bus": "virtio", "nic_model": "virtio"},
    "POST /api/v1/vms/{uuid}/rebuild": {"image": "tiny"},
    "POST /api/v1/vms/{uuid}/clone": {"name": "web-2"},
    "POST /api/v1/vms/{uuid}/image": {"name": "web golden"},
    "POST /api/v1/vms/{uuid}/nics": {"network": "payments-net"},
    "PATCH /api/v1/vms/{uuid}/nics/{port}": {"model": "e1000e"},
    "POST /api/v1/bulk/vms": {"action": "stop", "uuids": ["$vm"]},
    "POST /api/v1/vms/{uuid}/snapshots": {"name": "before-upgrade"},
    "PUT /api/v1/vms/{uuid}/snapshot-plan": {"every_hours": 24, "keep": 7},
    "POST /api/v1/vms/{uuid}/backups": {"full": True},
    "PUT /api/v1/vms/{uuid}/backup-plan": {"every_hours": 24, "full_every": 7, "keep": 4},
    "POST /api/v1/backups/{uuid}/restore": {"name": "web-1-back"},
    "POST /api/v1/backup-stores": {"name": "attic", "folder": "/srv/backups"},
    "POST /api/v1/backup-stores/{uuid}/clean": {
        "folders": ["hopsight/6b1f6c8e-1111-4222-8333-444455556666/0d9c2a7e-1111-4222-8333-444455556666"],
        "typed": "loft",
    },
    "PATCH /api/v1/backup-stores/{uuid}": {"is_enabled": False},
    "POST /api/v1/volumes": {"name": "data-2", "size_gib": 1},
    "POST /api/v1/volumes/{uuid}/attach": {"vm": "web-1"},
    "POST /api/v1/volumes/{uuid}/grow": {"size_gib": 4},
    "POST /api/v1/volumes/{uuid}/clone": {"name": "data-copy"},
    "POST /api/v1/volumes/{uuid}/snapshots": {"name": "before-import"},
    "PUT /api/v1/volumes/{uuid}/snapshot-plan": {"every_hours": 24, "keep": 7},
    "POST /api/v1/volumes/{uuid}/snapshots/{snapshot}/clone": {"name": "data-then"},
    "PATCH /api/v1/pools/{uuid}": {"is_offered": False},
    "POST /api/v1/image-imports": {"name": "My Debian", "size_bytes": 4194304},
    "POST /api/v1/image-copies": {"image": "tiny", "host": "hv1"},
    "PUT /api/v1/images/{slug}/shares": {"teams": ["search"]},
    "PUT /api/v1/images/{slug}/public": {"is_public": True},
    "POST /api/v1/provider-networks": {"name": "dc", "cidr": "10.61.0.0/24", "vid": 61, "teams": ["search"]},
    "PATCH /api/v1/provider-networks/{uuid}": {"shared_with": ["search"]},
    "POST /api/v1/provider-networks/{uuid}/subnets": {"cidr": "10.62.0.0/24"},
    "POST /api/v1/vms/{uuid}/console-ticket": {"kind": "serial"},
    "POST /api/v1/traces": {"source": "$port", "target": "203.0.113.10", "protocol": "tcp", "port_dst": 443},
    "POST /api/v1/traces/{uuid}/probings": {"seconds": 60},
    "POST /api/v1/hosts/{host}/port-traces": {"bridge": "br-int", "flow": "in_port=9,icmp,nw_dst=10.0.0.2"},
    "POST /api/v1/bundles/{uuid}/traces": {"bridge": "br-int", "flow": "in_port=9,icmp,nw_dst=10.0.0.2"},
    "POST /api/v1/ports/{uuid}/diagnoses": {"protocol": "tcp", "port_dst": 22},
    "POST /api/v1/diagnoses/{uuid}/mend": {"kind": "floating"},
    "POST /api/v1/traces/{uuid}/captures": {"points": ["source"]},
    "POST /api/v1/ports/{uuid}/sample": {"seconds": 30},
    "PUT /api/v1/ports/{uuid}/limits": {"sends_kbps": 10000},
    "PUT /api/v1/ports/{uuid}/mirror": {"to": "$receiver", "what": "both"},
    "POST /api/v1/matrices": {"protocol": "tcp", "port_dst": 443},
    "POST /api/v1/checks": {"source": "$port", "target": "203.0.113.10", "protocol": "icmp", "expected": "delivered"},
    "POST /api/v1/alerts/{uuid}/silence": {"hours": 8},
    "POST /api/v1/alert-rules": {"metric": "vm_cpu_percent", "above": 90, "minutes": 10},
    "POST /api/v1/channels": {
        "kind": "chat",
        "name": "our room",
        "target": "https://hooks.example.com/services/T0/B0/x",
    },
    "PATCH /api/v1/team-board": {"title": "Payments today"},
    "POST /api/v1/boards": {
        "title": "Night watch",
        "widgets": [{"kind": "problems", "width": 12}, {"kind": "traffic"}],
    },
    "PATCH /api/v1/boards/{uuid}": {"widgets": [{"kind": "checks", "width": 6}, {"kind": "note", "text": "Ring Olga"}]},
    "POST /api/v1/flow-what-ifs/{uuid}/apply": {"typed": "br-ex"},
    "POST /api/v1/flow-what-ifs": {
        "host": "hv1",
        "bridge": "br-int",
        "action": "add",
        "flow": "table=0,priority=900,udp actions=drop",
    },
    "POST /api/v1/what-ifs": {"group": "$group", "protocol": "tcp", "ports": "8080"},
    "POST /api/v1/security-groups": {"name": "api", "description": "what the API's machines take"},
    "POST /api/v1/security-groups/{uuid}/rules": {"protocol": "tcp", "ports": "8080", "cidr": "10.0.0.0/8"},
    "PUT /api/v1/ports/{uuid}/groups": {"groups": ["default"]},
    "PUT /api/v1/ports/{uuid}/security": {"is_secured": False},
    "POST /api/v1/networks": {"name": "back", "cidr": "10.30.0.0/24"},
    "POST /api/v1/networks/{uuid}/subnets": {"cidr": "10.31.0.0/24"},
    "PATCH /api/v1/networks/{uuid}/subnets/{number}": {"exclusions": ["10.20.0.50-10.20.0.60"]},
    "POST /api/v1/networks/{uuid}/reservations": {"name": "db-later", "address": "10.20.0.90"},
    "PUT /api/v1/ports/{uuid}/address-pairs": {"pairs": [{"cidr": "10.20.0.200"}]},
    "POST /api/v1/routers": {"name": "second"},
    "PATCH /api/v1/routers/{uuid}": {"external": None},
    "POST /api/v1/routers/{uuid}/ports": {"subnet": 1},
    "POST /api/v1/routers/{uuid}/routes": {"destination": "172.17.0.0/16", "next_hop": "10.20.0.9"},
    "POST /api/v1/floating-addresses": {"external": "internet"},
    "PATCH /api/v1/floating-addresses/{uuid}": {"port": None},
    "POST /api/v1/external-networks": {"name": "dmz", "cidr": "203.0.113.0/25", "vid": 7},
    "PATCH /api/v1/me": {"language": "en", "time_zone": "Europe/Berlin"},
    "PUT /api/v1/access-policy": {"teams": ["search"]},
    "POST /api/v1/members": {"username": "dana", "role": "viewer"},
    "PATCH /api/v1/members/{username}": {"role": "member"},
    "POST /api/v1/invitations": {"role": "viewer", "days": 7},
    "POST /api/v1/tokens": {"name": "ci", "scopes": ["vm:write"], "days": 30},
    "PUT /api/v1/prices": {"currency": "EUR", "per_hour": {"max_vcpus": "0.01", "max_ram_mib": "0.000005"}},
    "POST /api/v1/teams": {"name": "Web Shop", "owner": "wendy", "limits": {"max_vms": 5}},
    "PATCH /api/v1/teams/{slug}": {"limits": {"max_vcpus": 24}},
    "POST /api/v1/hosts": {
        "name": "hv9",
        "underlay_ip": "192.0.2.19",
        "libvirt_uri": "qemu+tls://hv9/system",
        "ovsdb": "ssl:192.0.2.19:6640",
        "controller_target": "ssl:192.0.2.2:6653",
    },
    "POST /api/v1/service-accounts": {"name": "deploy", "role": "member"},
    "PATCH /api/v1/service-accounts/{number}": {"role": "viewer"},
    "PATCH /api/v1/hosts/{host}": {"plug": "bridge"},
    "POST /api/v1/keys": {
        "name": "laptop",
        "public_key": "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIBKcJ2qVbYfRpbL3sZ9v1yYpSKcPzFmFfQhKzSsx0yqL laptop",
    },
    "POST /api/v1/log-ins": {"name": "my program", "scopes": ["read"]},
    "POST /api/v1/log-ins/token": {"device_code": "what /log-ins told"},
}


def command(method: str, path: str, origin: str) -> str:
    """A curl command that works as it is, once its `$` words are variables of the shell."""
    lines = [f'curl -sS -H "Authorization: Bearer $TOKEN" {_variables(origin + path)}']
    if path.endswith("/events/{topic}"):
        lines.append("  -N --max-time 600")
    body = BODIES.get(f"{method} {path}")
    if method != "GET":
        lines.append(f"  -X {method}")
    if body is not None:
        lines += ["  -H 'Content-Type: application/json'", f'  -d "{_json(body)}"']
    return " \\\n".join(lines)


def _variables(url: str) -> str:
    return url.replace("{", "$").replace("}", "")


def _json(value: object) -> str:
    """JSON as it stands between a shell's double quotes, in which `$port` is read."""
    return json.dumps(value).replace("\\", "\\\\").replace('"', '\\"')
