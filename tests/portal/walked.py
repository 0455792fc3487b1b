"""One of everything that a URL, an operation or a topic names: what the walk over the rights walks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from allauth.socialaccount.models import SocialAccount

from portal.accounts.models import ApiToken, LogIn, Membership
from portal.accounts.services import create_service
from portal.accounts.teams import digest_of, invite
from portal.alerts.requests import add_rule as add_alert_rule
from portal.checks.requests import WhatIfSpec, add_check, ask_matrix, ask_what_if
from portal.compute.models import VM, KeyPair, Snippet
from portal.dashboards.requests import kept_team_board
from portal.hosts.models import Host
from portal.networks.floating_requests import allocate_floating
from portal.networks.groups import add_rule, create_group
from portal.networks.models import Port, SecurityGroup
from portal.networks.router_requests import add_route
from portal.networks.rule_check import RuleSpec
from portal.networks.subnet_requests import reserve
from portal.operations.models import Operation
from portal.traces.diagnosis import ask_why
from portal.traces.models import TraceRequest
from portal.traces.requests import TraceSpec
from tests.cast import Cast
from tests.portal.clients import (
    made_alert,
    made_backup,
    made_bundle,
    made_capture,
    made_channel,
    made_copy,
    made_flow_what_if,
    made_foreign,
    made_host,
    made_image,
    made_import,
    made_mirror,
    made_port_trace,
    made_probing,
    made_provider,
    made_store,
    made_topology_record,
    made_trace,
    made_vm,
    made_volume,
)
from tests.scenes import Scene

Arguments = dict[str, dict[str, Any]]  # of a URL name


@dataclass(frozen=True)
class World:
    """Alice's and Payments' objects, by what URLs call them."""

    cast: Cast
    arguments: Arguments


def make_world(cast: Cast) -> World:
    """One of everything that a URL or an operation can name."""
    return World(cast, _arguments.stand(cast, upon=str(cast.network.uuid)))


def _all_arguments(cast: Cast) -> Arguments:
    host, vm, trace = made_host(), made_vm(cast), made_trace(cast)
    group = create_group(cast.payments, "web")
    made_store("attic")
    made_topology_record(host)
    return {
        **_of_checks(cast, host, vm, group), **_of_vms(cast, vm), **_of_networks(cast, vm, group),
        **_of_hosts(cast, host, vm), **_of_traces(cast, host, vm, trace), **_of_people(cast, trace),
    }  # fmt: skip


_arguments = Scene(_all_arguments, fresh_s=10)


def _of_checks(cast: Cast, host: Host, vm: VM, group: SecurityGroup) -> Arguments:
    check = add_check(cast.payments, cast.alice, TraceSpec(vm.ports.get(), None, "icmp", 0, "203.0.113.9"), "dropped")
    what_if = ask_what_if(cast.payments, cast.alice, WhatIfSpec(group, RuleSpec(ports="8443")))
    matrix = ask_matrix(cast.payments, cast.alice, "tcp", 22)
    return {
        "check_remove": {"uuid": check.uuid},
        **{name: {"uuid": what_if.uuid} for name in ("what_if", "what_if_apply", "what_if_discard")},
        **{
            name: {"uuid": made_flow_what_if(cast, host).uuid}
            for name in ("flow_what_if", "flow_what_if_apply", "flow_what_if_discard")
        },
        "api_matrix": {"uuid": matrix.uuid},
    }


def _of_vms(cast: Cast, vm: VM) -> Arguments:
    return {
        "vm": {"uuid": vm.uuid},
        "vm_delete": {"uuid": vm.uuid},
        "vm_action": {"uuid": vm.uuid, "action": "start"},
        "vm_flags": {"uuid": vm.uuid},
        "vm_change": {"uuid": vm.uuid},
        "image_delete": {"uuid": made_import(cast).uuid},
        **{
            name: {"slug": made_image(cast, "Walked").slug}
            for name in ("image", "image_share", "image_publish", "image_pull")
        },
        "image_copy_evict": {"number": made_copy(cast).pk},
        "vm_nics": {"uuid": vm.uuid},
        "vm_snapshots": {"uuid": vm.uuid},
        "vm_backups": {"uuid": vm.uuid},
        "backup_restore": {"uuid": made_backup(vm).uuid},
        "vm_tags": {"uuid": vm.uuid},
        "volume": {"uuid": made_volume(cast).uuid},
        "vm_lease": {"uuid": vm.uuid},
    }


def _of_networks(cast: Cast, vm: VM, group: SecurityGroup) -> Arguments:
    rule = add_rule(group, RuleSpec())
    return {
        "security_group": {"uuid": group.uuid},
        "security_group_delete": {"uuid": group.uuid},
        "security_rule_delete": {"uuid": group.uuid, "rule_id": rule.pk},
        "port_groups": {"uuid": vm.ports.get().uuid},
        "port_security": {"uuid": vm.ports.get().uuid},
        "port_pairs": {"uuid": vm.ports.get().uuid},
        "subnet": {"uuid": cast.network.uuid, "subnet_id": cast.network.subnets.all()[0].pk},
        "reservation_add": {"uuid": cast.network.uuid},
        "reservation_release": {"uuid": cast.network.uuid, "port": reserve(cast.network, "later", "10.20.0.91").uuid},
        "port_limits": {"uuid": vm.ports.get().uuid},
        "mirror_end": {"uuid": made_mirror(cast, vm).uuid},
        "port_sample": {"uuid": vm.ports.get().uuid},
        **{name: {"uuid": cast.network.uuid} for name in ("network", "network_delete")},
        "subnet_delete": {"uuid": cast.network.uuid, "subnet_id": cast.network.subnets.all()[0].pk},
        **{name: {"uuid": cast.router.uuid} for name in ("router", "router_change", "router_delete")},
        "floating_change": {"uuid": allocate_floating(cast.payments, cast.external).uuid},
        "vm_floating": {"uuid": vm.uuid},
        "external_delete": {"uuid": cast.external.uuid},
        **{name: {"uuid": made_provider(cast).uuid} for name in ("provider_share", "provider_delete")},
    }


def _of_hosts(cast: Cast, host: Host, vm: VM) -> Arguments:
    return {
        **{name: {"name": host.name} for name in ("host", "host_maintenance", "host_evacuate")},
        "vm_move": {"uuid": vm.uuid},
        "vm_let_go": {"uuid": vm.uuid},
        "foreign_domain": {"name": host.name, "uuid": made_foreign(host).uuid},
        "snippet_delete": {"number": Snippet.objects.get_or_create(team=cast.payments, name="Motd")[0].pk},
        "console": {"uuid": vm.uuid},
        "vm_screen": {"uuid": vm.uuid},
        "console_ticket": {"uuid": vm.uuid},
        **{
            name: {"uuid": Operation.objects.get(object_uuid=vm.uuid).uuid}
            for name in ("operation", "operation_cancel", "operation_retry")
        },
    }


def _of_traces(cast: Cast, host: Host, vm: VM, trace: TraceRequest) -> Arguments:
    bundle = made_bundle(cast)
    return {
        "trace": {"uuid": trace.uuid},
        "trace_deliver": {"uuid": trace.uuid},
        "trace_export": {"uuid": trace.uuid, "form": "json"},
        **{name: {"uuid": bundle.uuid} for name in ("bundle", "bundle_delete")},
        "bundle_trace": {"uuid": bundle.traces.get().uuid},
        "port_trace": {"uuid": made_port_trace(cast, host).uuid},
        "trace_why": {"port": vm.ports.get().uuid},
        **{name: {"uuid": ask_why(vm.ports.get(), cast.alice).uuid} for name in ("diagnosis", "diagnosis_mend")},
        **{
            name: {"host": host.name, "bridge": "br-int"}
            for name in ("flows", "flows_text", "flows_json", "flows_history", "port_traces")
        },
        "host_plug": {"host": host.name},
        "capture_new": {"uuid": trace.uuid},
        "probing_start": {"uuid": trace.uuid},
        "probing_stop": {"uuid": made_probing(cast, trace).uuid},
        **{name: {"uuid": made_capture(cast, trace).uuid} for name in ("capture", "capture_stop", "capture_file")},
        "alert_handle": {"uuid": made_alert(cast).uuid},
        "alert_rule_remove": {"uuid": add_alert_rule(cast.payments, cast.alice, "vm_cpu_percent", 90, 5).uuid},
        "channel_act": {"uuid": made_channel(cast).uuid},
        **{name: {"name": host.name} for name in ("host", "host_edit", "host_load", "host_clean")},
    }


def _of_people(cast: Cast, trace: TraceRequest) -> Arguments:
    key = KeyPair.objects.create(user=cast.alice, name="laptop", public_key="ssh-ed25519 AAAA", fingerprint="SHA256:x")
    token = ApiToken.objects.create(
        user=cast.alice, name="ci", digest=digest_of("x"), hint="hst_", expires_at=trace.created_at
    )
    session = LogIn.objects.create(user=cast.alice, session_key="alices")
    invitation, secret = invite(cast.payments, cast.alice, "member", 7)
    identity = SocialAccount.objects.create(user=cast.alice, provider="sso", uid="1")
    bob = Membership.objects.get(user=cast.bob)
    service = create_service(cast.payments, cast.alice, "deploy", "member")
    return {
        "team": {"slug": "payments"},
        **{name: {"uuid": kept_team_board(cast.payments).uuid} for name in ("board", "board_change")},
        "team_switch": {"slug": "payments"},
        **{name: {"provider_id": "sso"} for name in ("openid_connect_login", "openid_connect_callback")},
        "mfa_remove_webauthn": {"pk": 1},
        **{name: {"service_id": service.pk} for name in ("service_change", "service_token")},
        "identity_remove": {"identity_id": identity.pk},
        "key_delete": {"key_id": key.pk},
        "token_delete": {"token_id": token.pk},
        "session_end": {"session_id": session.pk},
        "member_role": {"member_id": bob.pk},
        "member_remove": {"member_id": bob.pk},
        "invite_end": {"invitation_id": invitation.pk},
        **{name: {"secret": secret} for name in ("invitation", "invitation_new")},
    }


def receiver_of(cast: Cast) -> str:
    return str(Port.objects.get(vm__name="ids-1", vm__team=cast.payments).uuid)


def number_of(path: str, cast: Cast) -> int:
    """The number of a row below another, of the kind that the path names."""
    if "/snippets/" in path:
        return Snippet.objects.get_or_create(team=cast.payments, name="Motd")[0].pk
    if "/image-copies/" in path:
        return made_copy(cast).pk
    if "/provider-networks/" in path:
        return made_provider(cast).subnets.all()[0].pk
    if "/invitations/" in path:
        return invite(cast.payments, cast.alice, "viewer", 7)[0].pk
    if "/service-accounts/" in path:
        made = cast.payments.services.first() or create_service(cast.payments, cast.alice, "deploy", "member")
        return made.pk
    if "/subnets/" in path:
        return cast.network.subnets.all()[0].pk
    if "/ports/" in path:
        return cast.router.ports.all()[0].pk
    return add_route(cast.router, "172.16.0.0/16", "10.20.0.9").pk if "/routes/" in path else 0
