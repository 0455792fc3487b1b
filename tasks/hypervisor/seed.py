"""NoCloud seed images: meta-data and user-data on an ISO 9660 labelled `cidata` (cloud-init's NoCloud documentation)."""

from __future__ import annotations

import io
from dataclasses import dataclass

import pycdlib
import yaml


@dataclass(frozen=True, slots=True)
class SeedSpec:
    instance_id: str
    hostname: str
    login_user: str
    public_key: str
    user_data: str = ""  # as the person wrote it; empty: ours


def format_meta_data(spec: SeedSpec) -> str:
    """The meta-data file; keys are a block list, one a line."""
    facts: dict[str, object] = {"instance-id": spec.instance_id, "local-hostname": spec.hostname}
    if keys := _keys(spec):
        facts["public-keys"] = keys
    return _dump(facts)


def format_user_data(spec: SeedSpec) -> str:
    """What the person gave, or a cloud-config that lets the key's holder in."""
    if spec.user_data.strip():
        return spec.user_data
    config: dict[str, object] = {"hostname": spec.hostname, "locale": "C.UTF-8", "ssh_pwauth": False}
    if spec.login_user == "root":
        config["disable_root"] = False
    if keys := _keys(spec):
        config["ssh_authorized_keys"] = keys
    return "#cloud-config\n" + _dump(config)


def make_seed(spec: SeedSpec) -> bytes:
    """The ISO image's bytes."""
    iso = pycdlib.PyCdlib()
    iso.new(interchange_level=3, vol_ident="cidata", joliet=3, rock_ridge="1.09")
    for iso_name, name, text in (
        ("/METADATA.;1", "meta-data", format_meta_data(spec)),
        ("/USERDATA.;1", "user-data", format_user_data(spec)),
    ):
        content = text.encode()
        iso.add_fp(io.BytesIO(content), len(content), iso_name, rr_name=name, joliet_path=f"/{name}")
    out = io.BytesIO()
    iso.write_fp(out)
    iso.close()
    return out.getvalue()


def _keys(spec: SeedSpec) -> list[str]:
    return [" ".join(line.split()) for line in spec.public_key.splitlines() if line.strip()]


def _dump(value: dict[str, object]) -> str:
    return yaml.safe_dump(value, sort_keys=False, default_flow_style=False, width=100_000, allow_unicode=True)
