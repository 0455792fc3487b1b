"""What a storage pool's XML tells (libvirt's formatstorage): of which kind it is, where its content lies, how QEMU gets there."""

from __future__ import annotations

from lxml import etree

from portal.volumes.reach import Reach, lun_key

ON_THE_NETWORK = frozenset({"netfs", "rbd", "iscsi", "iscsi-direct", "gluster"})
WITH_LUNS = frozenset({"iscsi", "iscsi-direct"})
BY_QEMU = frozenset({"iscsi-direct", "rbd"})  # no device of the host's: the guest's QEMU goes there
WAKED = frozenset({"iscsi", "iscsi-direct", "rbd"})  # libvirt stops these when a look at them fails


def kind_of(root: etree._Element) -> str:
    """libvirt's pool type."""
    return str(root.get("type"))


def source_of(root: etree._Element) -> str:
    """Where a pool's content lies, of one on the network: its servers and what of them it is."""
    source = root.find("source")
    if source is None or root.get("type") not in ON_THE_NETWORK:
        return ""
    hosts = sorted(":".join(filter(None, (one.get("name"), one.get("port")))) for one in source.iterfind("host"))
    parts = [node.get("path") for place in ("dir", "device") for node in source.iterfind(place)]
    return " ".join(filter(None, (kind_of(root), *hosts, *parts, source.findtext("name"))))


def target_of(root: etree._Element) -> str:
    """The iSCSI target's name; nothing for other kinds."""
    device = root.find("source/device")
    return str(device.get("path") or "") if device is not None and kind_of(root) in WITH_LUNS else ""


def reach_of(root: etree._Element) -> Reach | None:
    """How QEMU gets to the pool's volumes by itself; None for kinds that the host mounts, or has as devices."""
    source = root.find("source")
    if source is None or kind_of(root) not in BY_QEMU:
        return None
    iqn, auth, secret = source.find("initiator/iqn"), source.find("auth"), source.find("auth/secret")
    return Reach(
        hosts=tuple((str(one.get("name") or ""), str(one.get("port") or "")) for one in source.iterfind("host")),
        name=target_of(root) or (source.findtext("name") or ""),
        initiator=str(iqn.get("name") or "") if iqn is not None else "",
        user=str(auth.get("username") or "") if auth is not None else "",
        secret_kind=str(auth.get("type") or "") if auth is not None else "",
        secret_uuid=str(secret.get("uuid") or "") if secret is not None else "",
        secret_usage=str(secret.get("usage") or "") if secret is not None else "",
    )


def name_in_domains(root: etree._Element, name: str, path: str) -> str:
    """By what a domain's XML names that volume of the pool: its path, but for a LUN that QEMU itself goes to."""
    return lun_key(target_of(root), name) or path if kind_of(root) == "iscsi-direct" else path
