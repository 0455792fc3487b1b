"""What is asked of a packet's way: from where, to where, which packet and as of when; the options, and the body that they come to.

An option's name is its argument's in the command, so that `ctx.params` holds the whole question.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from ipaddress import ip_address
from typing import Annotated, Any

import typer

from hopsight_cli.client import Api, Refused, WrongWords
from hopsight_cli.context import find_vm
from hopsight_cli.output import clean
from hopsight_cli.services import TO_ITSELF, Service

NOT_A_VM = ("router", "outside", "nic")
Target = Annotated[str | None, typer.Argument(metavar="TARGET", help="A VM's name, or an address.")]
Nic = Annotated[
    str | None, typer.Option(help="Which NIC of the VM sends: its network, or its address. The first if you do not say.")
]  # fmt: skip
ViaIpv4 = Annotated[bool, typer.Option("--ipv4", "-4", help="To the target VM's IPv4 address.")]
ViaIpv6 = Annotated[bool, typer.Option("--ipv6", "-6", help="To the target VM's IPv6 address.")]
Size = Annotated[int, typer.Option(help="Bytes of the IP packet, to find MTU mistakes.", min=28, max=65535)]
Moment = Annotated[
    str, typer.Option(help="as_is, first or established: which packet of its connection.", metavar="WHICH")
]  # fmt: skip
Flags = Annotated[str | None, typer.Option(metavar="NAMES", help="TCP's flags: syn, syn|ack, ack, fin|ack, rst, …")]
Fields = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="FIELD=VALUE", help="A field that is not as the guest would send it: nw_ttl=1. Again for more."),
]  # fmt: skip
ComesFrom = Annotated[
    str | None, typer.Option("--as", metavar="ADDRESS", help="With outside:NETWORK, the address that it comes from.")
]  # fmt: skip
At = Annotated[
    str | None, typer.Option("--at", metavar="TIME", help="As of then (UTC), by the recorded flows: '2026-11-26 03:10'.")
]  # fmt: skip

# The API's field → what is typed for it
TYPED = {
    "header_fields": "--set, --flags", "source_address": "--as", "at": "--at", "size_bytes": "--size", "moment": "--moment",
    "deliver": "--deliver", "target": "TARGET", "source": "SOURCE", "router": "SOURCE", "outside": "SOURCE",
    "nic": "SOURCE", "seconds": "--seconds",
}  # fmt: skip
PLAIN = {"size": "size_bytes", "moment": "moment", "comes_from": "source_address", "at": "at"}


def question(api: Api, given: Mapping[str, Any]) -> dict[str, Any]:
    """The body of POST /traces for a command's options. Raises WrongWords for what names nothing."""
    service = Service.of(given)
    port = _port(api, given)
    target = given.get("target") or ""
    if not target and service.protocol not in TO_ITSELF:
        raise WrongWords("where to? Give a VM's name or an address after the source (or one trace's uuid alone)")
    body = {**service.body(), "target": _target(api, given, target, port), **_sender(given["source"], port)}
    body |= {field: given[name] for name, field in PLAIN.items() if given.get(name) is not None}
    if fields := _fields(given):
        body["header_fields"] = fields
    return body


@contextmanager
def in_typed_words() -> Iterator[None]:
    """The server's refusals inside name what was typed beside the API's field."""
    try:
        yield
    except Refused as refused:
        refused.errors = {_typed(field): lines for field, lines in refused.errors.items()}
        raise


def _typed(field: str) -> str:
    words = TYPED.get(field)
    return f"{words} ({field})" if words else field


def _fields(given: Mapping[str, Any]) -> str:
    flags = given.get("flags")
    return ",".join([*(given.get("fields") or ()), *([f"tcp_flags={flags}"] if flags else ())])


def _port(api: Api, given: Mapping[str, Any]) -> dict[str, Any] | None:
    """The NIC that sends; None for what is no port: a router, an outside, a NIC past Open vSwitch. Raises WrongWords."""
    source, nic = str(given["source"]), given.get("nic")
    kind, _, name = source.partition(":")
    if name and kind in NOT_A_VM:
        return None
    row = find_vm(api, source)
    if not row["ports"]:
        raise WrongWords(f"{clean(row['name'])} has no port; a NIC past Open vSwitch is named as nic:MAC")
    if nic is None:
        first: dict[str, Any] = row["ports"][0]
        return first
    found = [one for one in row["ports"] if nic in (one["network"], one["uuid"], one["mac"], *one["addresses"])]
    if not found:
        have = "; ".join(f"{clean(one['network'])}: {clean(one['addresses'])}" for one in row["ports"])
        raise WrongWords(f"--nic {clean(nic)} was given; {clean(row['name'])} has {have}")
    return found[0]  # type: ignore[no-any-return]


def _sender(source: str, port: Mapping[str, Any] | None) -> dict[str, Any]:
    kind, _, name = source.partition(":")
    return {kind: name} if port is None else {"source": port["uuid"]}


def _target(api: Api, given: Mapping[str, Any], target: str, port: Mapping[str, Any] | None) -> str:
    """What was typed; with -4 or -6 the named VM's address of that family. Raises WrongWords where it has none."""
    versions = [number for number, name in ((4, "ipv4"), (6, "ipv6")) if given.get(name)]
    if not versions or not target:
        return target
    if len(versions) > 1:
        raise WrongWords("-4 and -6 were given: choose one")
    known = _addresses(api, given, target, port)
    found = next((one for one in known if ip_address(one).version == versions[0]), None)
    if found is None:
        has = clean(known) if known else "none"
        raise WrongWords(f"-{versions[0]} was given, and of {clean(target)} these addresses are known: {has}")
    return found


def _addresses(api: Api, given: Mapping[str, Any], target: str, port: Mapping[str, Any] | None) -> list[str]:
    """The addresses that a packet to the target may go to; on the sender's own network first."""
    try:
        return [str(ip_address(target))]
    except ValueError:
        pass
    ports = find_vm(api, target)["ports"]
    if str(given["source"]).startswith("outside:"):
        uuids = [one["uuid"] for one in ports]
        return [row["address"] for row in api.pages("/floating-addresses") if row["port"] in uuids]
    near = sorted(ports, key=lambda one: port is None or one["network"] != port["network"])
    return [address for one in near for address in one["addresses"]]
