"""What is asked for, as the virt-install command that would make it."""

from __future__ import annotations

import shlex
from collections.abc import Sequence

from portal.compute.requests import VMSpec
from portal.volumes.models import OWN_POOL, Volume
from portal.volumes.quota import MOST_VOLUMES


def virt_install_lines(spec: VMSpec, attached: Sequence[Volume] = ()) -> list[str]:
    """The equivalent virt-install command, one line per option group; what people wrote is quoted for the shell."""
    size = (spec.flavor.vcpus, spec.flavor.ram_mib, spec.flavor.disk_gib) if spec.flavor else (1, 128, 1)
    made, image = spec.hardware, spec.image.slug if spec.image else "image"
    disk = f"size={size[2]},bus={made.disk_bus},cache={made.disk_cache},backing_store={image}.qcow2"
    lines = [
        f"virt-install --name {shlex.quote(spec.name[:63] or 'vm')}",
        f"--machine {shlex.quote(made.machine)} --osinfo detect=on,require=off",
        f"--vcpus {size[0]} --memory {size[1]} --import" + f" --cpu {shlex.quote(made.cpu_model)}" * bool(made.cpu_model),
        f"--disk {shlex.quote(disk)}",
        *(f"--disk {shlex.quote(f'pool={OWN_POOL},size={one.size_gib},bus={one.bus[:10]}')}" for one in spec.volumes.new[:MOST_VOLUMES]),
        *(f"--disk {shlex.quote(f'vol={one.pool.name}/{one.file_name},bus={one.bus}')}" for one in attached if one.pool),
        f"--network {shlex.quote(f'bridge=br-int,virtualport_type=openvswitch,model={made.nic_model}')}",
        *(["--cloud-init user-data=user-data.yaml"] if spec.user_data else ["--cloud-init root-ssh-key=key.pub"] if spec.key else []),
        "--noautoconsole" + " --autostart" * spec.is_autostarted,
    ]  # fmt: skip
    return [("  " * bool(number)) + line + " \\" * (number < len(lines) - 1) for number, line in enumerate(lines)]
