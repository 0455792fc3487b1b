"""Pages and actions that the palette offers, as data: what they are called, where they are, the right that they need."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Place:
    """A page; `words` are what people may also call it. `keys` go there from any page: “g v” is g, then v."""

    title: str
    url_name: str
    right: str
    icon: str
    words: str = ""
    keys: str = ""
    is_action: bool = False


PLACES: tuple[Place, ...] = (
    Place("Create VM", "vm_create", "vm.create", "plus", "new machine server instance", "c", is_action=True),
    Place("Trace a path", "trace_new", "trace.see", "path", "packet why reach ping", "g t", is_action=True),
    Place("Create network", "network_create", "network.change", "plus", "new subnet", is_action=True),
    Place("Try a rule (what if)", "what_if_new", "what_if.ask", "diff", "security group change", is_action=True),
    Place("Dashboard", "dashboard", "person.see", "home", "board home start", "g d"),
    Place("Virtual machines", "vm_list", "vm.see", "vm", "vms servers instances", "g v"),
    Place("Images", "images", "image.see", "image", "templates upload"),
    Place("Backups", "backups", "backup.see", "copy", "restore store full incremental"),
    Place("Networks", "networks", "network.see", "net", "subnets vni", "g n"),
    Place("Routers", "routers", "network.see", "router", "gateway nat routes"),
    Place("Floating addresses", "floating", "network.see", "ip", "public ip"),
    Place("Security groups", "security_groups", "group.see", "shield", "firewall rules"),
    Place("SSH keys", "keys", "person.see", "key", "login public key"),
    Place("Topology", "topology", "topology.see", "topo", "map graph", "g m"),
    Place("Who reaches whom", "matrix", "matrix.see", "eye", "matrix reachability"),
    Place("Path checks", "checks", "check.see", "pin", "monitor pinned"),
    Place("Alerts", "alerts", "alert.see", "bell", "problems thresholds silence", "g a"),
    Place("Who is told", "channels", "channel.manage", "bell", "webhook slack matrix mail channel"),
    Place("Operations", "operations", "operation.see", "tasks", "tasks log", "g o"),
    Place("Members", "members", "team.see", "users", "team people invite"),
    Place("Activity", "activity", "audit.see", "clock", "audit who changed"),
    Place("Hosts", "hosts", "host.see", "switch", "hypervisors", "g h"),
    Place("What no row explains", "orphans", "host.see", "x", "orphans leftovers clean disks domains"),
    Place("Flow tables", "flow_hosts", "flow.see", "flows", "openflow ovs-ofctl", "g f"),
    Place("Topology history", "topology_history", "flow.see", "clock", "changes ovsdb time travel"),
    Place("Backup stores", "backup_stores", "store.manage", "copy", "where backups are kept directory"),
    Place("External networks", "external_networks", "external.manage", "ext", "internet uplink"),
    Place("Provider networks", "provider_networks", "provider.manage", "net", "vlan flat"),
    Place("API tokens", "tokens", "person.see", "key", "program access"),
    Place("API documentation", "api_docs", "person.see", "copy", "rest openapi curl"),
    Place("Keyboard", "search", "person.see", "search", "help shortcuts keys"),
)
