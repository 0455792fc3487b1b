"""Pages and actions that the palette offers, as data: what they are called, where they are, the right that they need."""

from __future__ import annotations

from dataclasses import dataclass

from django.utils.translation import gettext_noop as _


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
    Place(_("Create VM"), "vm_create", "vm.create", "plus", "new machine server instance", "c", is_action=True),
    Place(_("Trace a path"), "trace_new", "trace.see", "path", "packet why reach ping", "g t", is_action=True),
    Place(_("Create network"), "network_create", "network.change", "plus", "new subnet", is_action=True),
    Place(_("Try a rule (what if)"), "what_if_new", "what_if.ask", "diff", "security group change", is_action=True),
    Place(_("Dashboard"), "dashboard", "person.see", "home", "board home start", "g d"),
    Place(_("Virtual machines"), "vm_list", "vm.see", "vm", "vms servers instances", "g v"),
    Place(_("Images"), "images", "image.see", "image", "templates upload"),
    Place(_("Backups"), "backups", "backup.see", "copy", "restore store full incremental"),
    Place(_("Networks"), "networks", "network.see", "net", "subnets vni", "g n"),
    Place(_("Routers"), "routers", "network.see", "router", "gateway nat routes"),
    Place(_("Floating addresses"), "floating", "network.see", "ip", "public ip"),
    Place(_("Security groups"), "security_groups", "group.see", "shield", "firewall rules"),
    Place(_("SSH keys"), "keys", "person.see", "key", "login public key"),
    Place(_("Topology"), "topology", "topology.see", "topo", "map graph", "g m"),
    Place(_("Who reaches whom"), "matrix", "matrix.see", "eye", "matrix reachability"),
    Place(_("Path checks"), "checks", "check.see", "pin", "monitor pinned"),
    Place(_("Alerts"), "alerts", "alert.see", "bell", "problems thresholds silence", "g a"),
    Place(_("Who is told"), "channels", "channel.manage", "bell", "webhook slack matrix mail channel"),
    Place(_("Operations"), "operations", "operation.list", "tasks", "tasks log", "g o"),
    Place(_("Members"), "members", "team.see", "users", "team people invite"),
    Place(_("Activity"), "activity", "audit.see", "clock", "audit who changed"),
    Place(
        _("Activity of no team"), "operator_activity", "audit.all", "clock", "audit hosts settings log-ins operators"
    ),
    Place(_("Hosts"), "hosts", "host.see", "switch", "hypervisors", "g h"),
    Place(_("What no row explains"), "orphans", "host.see", "x", "orphans leftovers clean disks domains"),
    Place(_("Flow tables"), "flow_hosts", "flow.see", "flows", "openflow ovs-ofctl", "g f"),
    Place(_("Topology history"), "topology_history", "flow.see", "clock", "changes ovsdb time travel"),
    Place(_("Backup stores"), "backup_stores", "store.manage", "copy", "where backups are kept directory"),
    Place(_("External networks"), "external_networks", "external.manage", "ext", "internet uplink"),
    Place(_("Provider networks"), "provider_networks", "provider.manage", "net", "vlan flat"),
    Place(_("API tokens"), "tokens", "person.see", "key", "program access"),
    Place(_("API documentation"), "api_docs", "person.see", "copy", "rest openapi curl"),
    Place(_("Keyboard"), "search", "person.see", "search", "help shortcuts keys"),
)
