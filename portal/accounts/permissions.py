"""Who may do what, as data: role × object × action. Views, API, sockets, disabled reasons and tests read this page.

A right is `object.action`; `RIGHTS` names the least that is needed for it. `PAGES`, `API` and `TOPICS` say which right each
URL name, API operation and socket topic asks for: one that is missing here fails tests/portal/test_permissions.py.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Needs(StrEnum):
    """The least that somebody must be, for a right over an object of a team (or over none)."""

    NOTHING = "nothing"  # no log-in either
    PERSON = "person"  # logged in; the object is one's own
    VIEWER = "viewer"
    MEMBER = "member"
    OWNER = "owner"
    OPERATOR = "operator"
    OWNER_OR_OPERATOR = "owner, or an operator"
    VIEWER_OR_OPERATOR = "viewer, or an operator"


TEAM_RANK: dict[str, int] = {
    Needs.VIEWER: 0,
    Needs.VIEWER_OR_OPERATOR: 0,
    Needs.MEMBER: 1,
    Needs.OWNER: 2,
    Needs.OWNER_OR_OPERATOR: 2,
}
OPERATORS_TOO = (Needs.OWNER_OR_OPERATOR, Needs.VIEWER_OR_OPERATOR)

RIGHTS: dict[str, Needs] = {
    "login.open": Needs.NOTHING,
    "person.see": Needs.PERSON,
    "person.change": Needs.PERSON,
    "token.end": Needs.PERSON,  # the one that one came with
    "service.see": Needs.VIEWER,
    "service.manage": Needs.OWNER,
    "invitation.accept": Needs.PERSON,
    "status.see": Needs.PERSON,
    "team.see": Needs.VIEWER,
    "team.leave": Needs.VIEWER,
    "team.manage": Needs.OWNER,
    "vm.see": Needs.VIEWER,
    "vm.look": Needs.VIEWER_OR_OPERATOR,  # its page, to run the host it is on; no console, no list, no change
    "vm.create": Needs.MEMBER,
    "vm.power": Needs.MEMBER,
    "vm.delete": Needs.MEMBER,
    "vm.change": Needs.MEMBER,
    "snippet.see": Needs.VIEWER,
    "snippet.change": Needs.MEMBER,
    "console.see": Needs.VIEWER,
    "console.write": Needs.MEMBER,
    "image.see": Needs.VIEWER,
    "image.change": Needs.MEMBER,
    "volume.see": Needs.VIEWER,
    "volume.change": Needs.MEMBER,
    "pool.manage": Needs.OPERATOR,
    "network.see": Needs.VIEWER,
    "network.change": Needs.MEMBER,
    "group.see": Needs.VIEWER,
    "group.change": Needs.MEMBER,
    "port.change": Needs.MEMBER,
    "port.unsecure": Needs.OWNER_OR_OPERATOR,
    "mirror.see": Needs.VIEWER,
    "mirror.change": Needs.MEMBER,  # who gets the copies reads what others' VMs say, as a capture's reader does
    "sample.see": Needs.MEMBER,  # headers of dropped packets
    "sample.ask": Needs.MEMBER,
    "external.manage": Needs.OPERATOR,
    "provider.manage": Needs.OPERATOR,
    "operation.see": Needs.VIEWER,
    "operation.cancel": Needs.MEMBER,
    "operation.retry": Needs.MEMBER,
    "trace.see": Needs.VIEWER,
    "trace.ask": Needs.MEMBER,
    "trace.deliver": Needs.MEMBER,  # one real packet is given to a guest
    "probing.start": Needs.MEMBER,
    "capture.see": Needs.MEMBER,  # what is in packets is more than where they go
    "capture.start": Needs.MEMBER,
    "matrix.see": Needs.VIEWER,
    "matrix.ask": Needs.MEMBER,
    "check.see": Needs.VIEWER,
    "check.change": Needs.MEMBER,
    "what_if.ask": Needs.VIEWER,  # it changes nothing; applying it needs group.change
    "board.see": Needs.VIEWER,
    "board.own": Needs.VIEWER,  # make and change boards of one's own
    "board.change": Needs.MEMBER,  # the team's
    "audit.see": Needs.VIEWER,
    "host.see": Needs.OPERATOR,
    "host.change": Needs.OPERATOR,
    "flow.see": Needs.OPERATOR,
    "topology.see": Needs.VIEWER_OR_OPERATOR,
    "policy.manage": Needs.OPERATOR,
    "metrics.see": Needs.OPERATOR,  # or the scraper's own token
}


@dataclass(frozen=True)
class Page:
    """The rights that a URL asks for: to read it, and to post to it (None: it takes no post, or only posts)."""

    get: str | None
    post: str | None = None


PAGES: dict[str, Page] = {
    "login": Page("login.open", "login.open"),
    "account_login": Page("login.open", "login.open"),  # allauth's name of the same
    "mfa_authenticate": Page("login.open", "login.open"),
    "mfa_login_webauthn": Page("login.open", "login.open"),
    "openid_connect_login": Page("login.open", "login.open"),
    "openid_connect_callback": Page("login.open", "login.open"),
    "socialaccount_login_cancelled": Page("login.open", "login.open"),
    "mfa_index": Page("person.see"),
    "mfa_activate_totp": Page("person.change", "person.change"),
    "mfa_deactivate_totp": Page("person.change", "person.change"),
    "mfa_view_recovery_codes": Page("person.see"),
    "mfa_generate_recovery_codes": Page("person.change", "person.change"),
    "mfa_add_webauthn": Page("person.change", "person.change"),
    "mfa_remove_webauthn": Page("person.change", "person.change"),
    "account_reauthenticate": Page("person.see", "person.see"),
    "mfa_reauthenticate": Page("person.see", "person.see"),
    "mfa_reauthenticate_webauthn": Page("person.see", "person.see"),
    "identity_remove": Page(None, "person.change"),
    "access_policy": Page("policy.manage", "policy.manage"),
    "logout": Page(None, "person.see"),
    "dashboard": Page("person.see"),
    "board": Page("board.see"),
    "board_new": Page(None, "board.own"),
    "board_change": Page(None, "board.change"),  # of one's own board, board.own
    "team_board_change": Page(None, "board.change"),
    "status_line": Page("status.see"),
    "team_switch": Page(None, "team.see"),
    "keys": Page("person.see", "person.change"),
    "key_delete": Page(None, "person.change"),
    "tokens": Page("person.see", "person.change"),
    "token_delete": Page(None, "person.change"),
    "services": Page("service.see", "service.manage"),
    "service_change": Page(None, "service.manage"),
    "service_token": Page(None, "service.manage"),
    "device": Page("person.see", "person.change"),
    "sessions": Page("person.see"),
    "session_end": Page(None, "person.change"),
    "password": Page(None, "person.change"),
    "members": Page("team.see"),
    "member_add": Page(None, "team.manage"),
    "member_role": Page(None, "team.manage"),
    "member_remove": Page(None, "team.leave"),
    "invite": Page(None, "team.manage"),
    "invite_end": Page(None, "team.manage"),
    "invitation": Page("invitation.accept", "invitation.accept"),
    "activity": Page("audit.see"),
    "vm_list": Page("vm.see"),
    "vm_create": Page("vm.create", "vm.create"),
    "vm_effect": Page("vm.create", "vm.create"),
    "snippets": Page("snippet.see", "snippet.change"),
    "snippet_delete": Page(None, "snippet.change"),
    "vm": Page("vm.look"),
    "vm_delete": Page("vm.delete", "vm.delete"),
    "vm_action": Page(None, "vm.power"),
    "vm_flags": Page(None, "vm.power"),
    "vm_change": Page("vm.see", "vm.change"),
    "vm_bulk": Page(None, "vm.power"),
    "vm_lease": Page(None, "vm.change"),
    "vm_tags": Page(None, "vm.change"),
    "vm_filters": Page(None, "vm.see"),
    "vm_nics": Page("vm.see", "vm.change"),
    "console": Page("console.see"),
    "console_ticket": Page(None, "console.see"),
    "images": Page("image.see", "image.change"),
    "image_delete": Page(None, "image.change"),
    "volumes": Page("volume.see", "volume.change"),
    "volume": Page("volume.see", "volume.change"),
    "pools": Page("pool.manage", "pool.manage"),
    "networks": Page("network.see"),
    "security_groups": Page("group.see", "group.change"),
    "security_group": Page("group.see", "group.change"),
    "security_group_delete": Page(None, "group.change"),
    "security_rule_delete": Page(None, "group.change"),
    "port_groups": Page(None, "port.change"),
    "port_security": Page(None, "port.unsecure"),
    "port_limits": Page(None, "port.change"),
    "mirrors": Page("mirror.see", "mirror.change"),
    "mirror_end": Page(None, "mirror.change"),
    "port_sample": Page(None, "sample.ask"),
    "network_create": Page("network.change", "network.change"),
    "network": Page("network.see", "network.change"),
    "network_delete": Page("network.change", "network.change"),
    "subnet_delete": Page(None, "network.change"),
    "routers": Page("network.see", "network.change"),
    "router": Page("network.see"),
    "router_change": Page(None, "network.change"),
    "router_delete": Page("network.change", "network.change"),
    "floating": Page("network.see", "network.change"),
    "floating_change": Page(None, "network.change"),
    "vm_floating": Page(None, "network.change"),
    "external_networks": Page("external.manage", "external.manage"),
    "external_delete": Page(None, "external.manage"),
    "provider_networks": Page("provider.manage", "provider.manage"),
    "provider_share": Page(None, "provider.manage"),
    "provider_delete": Page(None, "provider.manage"),
    "hosts": Page("host.see"),
    "host_load": Page("host.see"),
    "host_plug": Page(None, "host.change"),
    "api_docs": Page("person.see"),
    "operations": Page("operation.see"),
    "operation": Page("operation.see"),
    "operation_cancel": Page(None, "operation.cancel"),
    "operation_retry": Page(None, "operation.retry"),
    "trace_new": Page("trace.see", "trace.ask"),
    "trace": Page("trace.see"),
    "trace_export": Page("trace.see"),
    "trace_why": Page(None, "trace.ask"),
    "trace_deliver": Page(None, "trace.deliver"),
    "probing_start": Page(None, "probing.start"),
    "probing_stop": Page(None, "probing.start"),
    "capture_new": Page("capture.start", "capture.start"),
    "capture": Page("capture.see"),
    "capture_stop": Page(None, "capture.start"),
    "capture_file": Page("capture.see"),
    "topology": Page("topology.see"),
    "topology_inventory": Page("topology.see"),
    "matrix": Page("matrix.see", "matrix.ask"),
    "checks": Page("check.see", "check.change"),
    "check_remove": Page(None, "check.change"),
    "what_if_new": Page("what_if.ask", "what_if.ask"),
    "what_if": Page("what_if.ask"),
    "what_if_apply": Page(None, "group.change"),
    "what_if_discard": Page(None, "group.change"),
    "metrics": Page("metrics.see"),
    "flow_hosts": Page("flow.see"),
    "flows": Page("flow.see"),
    "flows_text": Page("flow.see"),
    "flows_history": Page("flow.see"),
    "flows_json": Page("flow.see"),
}

# "METHOD path" of the OpenAPI document → right.
API: dict[str, str] = {
    "GET /api/v1/status": "status.see",
    "GET /api/v1/vms": "vm.see",
    "POST /api/v1/vms": "vm.create",
    "GET /api/v1/vms/{uuid}": "vm.see",
    "DELETE /api/v1/vms/{uuid}": "vm.delete",
    "PATCH /api/v1/vms/{uuid}": "vm.power",
    "GET /api/v1/vms/{uuid}/actions": "vm.see",
    "POST /api/v1/vms/{uuid}/actions/{action}": "vm.power",
    "POST /api/v1/bulk/vms": "vm.power",
    "POST /api/v1/vms/{uuid}/resize": "vm.change",
    "POST /api/v1/vms/{uuid}/rebuild": "vm.change",
    "POST /api/v1/vms/{uuid}/clone": "vm.create",
    "POST /api/v1/vms/{uuid}/nics": "vm.change",
    "PATCH /api/v1/vms/{uuid}/nics/{port}": "vm.change",
    "DELETE /api/v1/vms/{uuid}/nics/{port}": "vm.change",
    "GET /api/v1/snippets": "snippet.see",
    "POST /api/v1/snippets": "snippet.change",
    "DELETE /api/v1/snippets/{number}": "snippet.change",
    "GET /api/v1/operations": "operation.see",
    "GET /api/v1/operations/{uuid}": "operation.see",
    "POST /api/v1/operations/{uuid}/cancel": "operation.cancel",
    "POST /api/v1/operations/{uuid}/retry": "operation.retry",
    "GET /api/v1/networks": "network.see",
    "GET /api/v1/security-groups": "group.see",
    "POST /api/v1/security-groups": "group.change",
    "GET /api/v1/security-groups/{uuid}": "group.see",
    "DELETE /api/v1/security-groups/{uuid}": "group.change",
    "POST /api/v1/security-groups/{uuid}/rules": "group.change",
    "DELETE /api/v1/security-groups/{uuid}/rules/{rule_id}": "group.change",
    "PUT /api/v1/ports/{uuid}/groups": "port.change",
    "PUT /api/v1/ports/{uuid}/security": "port.unsecure",
    "POST /api/v1/networks": "network.change",
    "GET /api/v1/networks/{uuid}": "network.see",
    "DELETE /api/v1/networks/{uuid}": "network.change",
    "POST /api/v1/networks/{uuid}/subnets": "network.change",
    "DELETE /api/v1/networks/{uuid}/subnets/{number}": "network.change",
    "GET /api/v1/routers": "network.see",
    "POST /api/v1/routers": "network.change",
    "GET /api/v1/routers/{uuid}": "network.see",
    "PATCH /api/v1/routers/{uuid}": "network.change",
    "DELETE /api/v1/routers/{uuid}": "network.change",
    "POST /api/v1/routers/{uuid}/ports": "network.change",
    "DELETE /api/v1/routers/{uuid}/ports/{number}": "network.change",
    "POST /api/v1/routers/{uuid}/routes": "network.change",
    "DELETE /api/v1/routers/{uuid}/routes/{number}": "network.change",
    "GET /api/v1/floating-addresses": "network.see",
    "POST /api/v1/floating-addresses": "network.change",
    "PATCH /api/v1/floating-addresses/{uuid}": "network.change",
    "DELETE /api/v1/floating-addresses/{uuid}": "network.change",
    "GET /api/v1/external-networks": "network.see",
    "POST /api/v1/external-networks": "external.manage",
    "DELETE /api/v1/external-networks/{uuid}": "external.manage",
    "GET /api/v1/provider-networks": "provider.manage",
    "POST /api/v1/provider-networks": "provider.manage",
    "PATCH /api/v1/provider-networks/{uuid}": "provider.manage",
    "DELETE /api/v1/provider-networks/{uuid}": "provider.manage",
    "POST /api/v1/provider-networks/{uuid}/subnets": "provider.manage",
    "DELETE /api/v1/provider-networks/{uuid}/subnets/{number}": "provider.manage",
    "GET /api/v1/images": "image.see",
    "DELETE /api/v1/images/{slug}": "image.change",
    "GET /api/v1/image-imports": "image.see",
    "POST /api/v1/image-imports": "image.change",
    "GET /api/v1/image-imports/{uuid}": "image.see",
    "DELETE /api/v1/image-imports/{uuid}": "image.change",
    "PUT /api/v1/image-imports/{uuid}/bytes": "image.change",
    "GET /api/v1/volumes": "volume.see",
    "POST /api/v1/volumes": "volume.change",
    "GET /api/v1/volumes/{uuid}": "volume.see",
    "GET /api/v1/volumes/{uuid}/changes": "volume.see",
    "DELETE /api/v1/volumes/{uuid}": "volume.change",
    "POST /api/v1/volumes/{uuid}/attach": "volume.change",
    "POST /api/v1/volumes/{uuid}/detach": "volume.change",
    "POST /api/v1/volumes/{uuid}/grow": "volume.change",
    "POST /api/v1/volumes/{uuid}/clone": "volume.change",
    "GET /api/v1/pools": "person.see",
    "PATCH /api/v1/pools/{uuid}": "pool.manage",
    "GET /api/v1/flavors": "person.see",
    "GET /api/v1/hosts": "host.see",
    "PATCH /api/v1/hosts/{host}": "host.change",
    "GET /api/v1/flows/{host}/{bridge}/history": "flow.see",
    "GET /api/v1/flows/{host}/{bridge}/diff": "flow.see",
    "GET /api/v1/live/{topic}": "status.see",
    "GET /api/v1/events/{topic}": "status.see",
    "POST /api/v1/traces": "trace.ask",
    "GET /api/v1/traces/{uuid}": "trace.see",
    "GET /api/v1/traces/{uuid}/observed": "trace.see",
    "POST /api/v1/traces/{uuid}/captures": "capture.start",
    "POST /api/v1/traces/{uuid}/probings": "probing.start",
    "GET /api/v1/probings/{uuid}": "trace.see",
    "DELETE /api/v1/probings/{uuid}": "probing.start",
    "GET /api/v1/captures/{uuid}": "capture.see",
    "DELETE /api/v1/captures/{uuid}": "capture.start",
    "POST /api/v1/matrices": "matrix.ask",
    "GET /api/v1/matrices/{uuid}": "matrix.see",
    "GET /api/v1/checks": "check.see",
    "POST /api/v1/checks": "check.change",
    "DELETE /api/v1/checks/{uuid}": "check.change",
    "POST /api/v1/what-ifs": "what_if.ask",
    "GET /api/v1/what-ifs/{uuid}": "what_if.ask",
    "POST /api/v1/what-ifs/{uuid}/apply": "group.change",
    "GET /api/v1/drops": "vm.see",
    "GET /api/v1/vms/{uuid}/history": "vm.look",
    "GET /api/v1/ports/{uuid}/history": "vm.see",
    "GET /api/v1/hosts/{host}/history": "host.see",
    "GET /api/v1/history/traffic": "team.see",
    "GET /api/v1/history/use": "team.see",
    "GET /api/v1/history/drops": "team.see",
    "GET /api/v1/team-board": "board.see",
    "PATCH /api/v1/team-board": "board.change",
    "GET /api/v1/boards": "board.see",
    "POST /api/v1/boards": "board.own",
    "GET /api/v1/boards/{uuid}": "board.see",
    "PATCH /api/v1/boards/{uuid}": "board.change",  # of one's own board, board.own
    "DELETE /api/v1/boards/{uuid}": "board.change",
    "GET /api/v1/problems": "team.see",
    "GET /api/v1/ports/{uuid}/limits": "vm.see",
    "PUT /api/v1/ports/{uuid}/limits": "port.change",
    "GET /api/v1/mirrors": "mirror.see",
    "GET /api/v1/ports/{uuid}/mirror": "mirror.see",
    "PUT /api/v1/ports/{uuid}/mirror": "mirror.change",
    "DELETE /api/v1/ports/{uuid}/mirror": "mirror.change",
    "GET /api/v1/ports/{uuid}/drops": "vm.see",
    "GET /api/v1/traces": "trace.see",
    "POST /api/v1/vms/{uuid}/console-ticket": "console.see",
    "GET /api/v1/me": "person.see",
    "GET /api/v1/keys": "person.see",
    "POST /api/v1/keys": "person.change",
    "DELETE /api/v1/keys/{number}": "person.change",
    "DELETE /api/v1/me/token": "token.end",
    "GET /api/v1/tokens": "person.see",
    "POST /api/v1/tokens": "person.change",
    "DELETE /api/v1/tokens/{number}": "person.change",
    "GET /api/v1/service-accounts": "service.see",
    "POST /api/v1/service-accounts": "service.manage",
    "PATCH /api/v1/service-accounts/{number}": "service.manage",
    "DELETE /api/v1/service-accounts/{number}": "service.manage",
    "POST /api/v1/log-ins": "login.open",
    "POST /api/v1/log-ins/token": "login.open",
    "GET /api/v1/ports/{uuid}/sample": "sample.see",
    "POST /api/v1/ports/{uuid}/sample": "sample.ask",
    "DELETE /api/v1/ports/{uuid}/sample": "sample.ask",
    "GET /api/v1/access-policy": "policy.manage",
    "PUT /api/v1/access-policy": "policy.manage",
    "GET /api/v1/usage": "team.see",
    "GET /api/v1/members": "team.see",
    "GET /api/v1/activity": "audit.see",
}

# Kind of topic → right over the team or the host that it tells about.
TOPICS: dict[str, str] = {
    "team": "team.see",
    "trace": "trace.see",
    "counters": "trace.see",
    "observed": "trace.see",
    "capture": "capture.see",
    "probing": "trace.see",
    "hosts": "host.see",
    "flows": "flow.see",
    "topology": "topology.see",
    "drops": "vm.see",
    "sample": "sample.see",
}


def is_allowed(right: str, role: str | None, is_operator: bool) -> bool:
    """Whether somebody who is logged in, with this role in the object's team (None: not in it), has the right."""
    needs = RIGHTS[right]
    if needs in (Needs.NOTHING, Needs.PERSON):
        return True
    if needs == Needs.OPERATOR:
        return is_operator
    if needs in OPERATORS_TOO and is_operator:
        return True
    return role is not None and TEAM_RANK[role] >= TEAM_RANK[needs]


def refusal_words(right: str, role: str | None, team: str) -> str:
    """Why somebody lacks the right, as a sentence for them."""
    needs = RIGHTS[right]
    if needs == Needs.OPERATOR:
        return "Hosts and the wires between them are for operators: ask one to look, or to make you one."
    if role is None:
        return f"You are not in {team}: ask one of its owners to add you."
    return f"You are a {role} of {team}; this needs the role {needs}. Ask an owner of the team."
