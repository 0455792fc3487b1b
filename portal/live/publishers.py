"""One function per durable event. Each must run in the transaction that made the change."""

from __future__ import annotations

from portal.compute.models import VM
from portal.compute.serialize import vm_as_json
from portal.hosts.models import Host
from portal.hosts.serialize import host_as_json
from portal.live.events import publish
from portal.operations.models import Operation
from portal.operations.serialize import operation_as_json
from portal.traces.models import Diagnosis, TraceRequest
from portal.traces.serialize import diagnosis_as_json, trace_as_json
from portal.volumes.models import Volume
from portal.volumes.serialize import volume_as_json


def vm_changed(vm: VM) -> None:
    """Tell the team what a VM is now."""
    publish(f"team:{vm.team.slug}", "vm.changed", f"vm:{vm.uuid}", vm_as_json(vm))


def vm_deleted(vm: VM) -> None:
    """Tell the team that a VM is gone."""
    publish(f"team:{vm.team.slug}", "vm.deleted", f"vm:{vm.uuid}", {})


def volume_changed(volume: Volume) -> None:
    """Tell the team what a volume is now."""
    publish(f"team:{volume.team.slug}", "volume.changed", f"volume:{volume.uuid}", volume_as_json(volume))


def volume_deleted(volume: Volume) -> None:
    """Tell the team that a volume is gone."""
    publish(f"team:{volume.team.slug}", "volume.deleted", f"volume:{volume.uuid}", {})


def operation_changed(operation: Operation) -> None:
    """Tell the team (or the operators) what an operation and its stages are now."""
    fresh = operation_as_json(operation)
    publish(operation.topic, "operation.changed", f"operation:{operation.uuid}", fresh)


def host_changed(host: Host) -> None:
    """Tell the operators what a host is now."""
    publish("hosts", "host.changed", f"host:{host.name}", host_as_json(host))


def trace_changed(trace: TraceRequest) -> None:
    """Tell the trace's readers its state and verdict."""
    publish(f"trace:{trace.uuid}", "trace.changed", f"trace:{trace.uuid}", trace_as_json(trace))
    if trace.diagnosis is not None:
        diagnosis_changed(trace.diagnosis)


def diagnosis_changed(diagnosis: Diagnosis) -> None:
    """Tell the team how many of a diagnosis' questions are answered. Two threads may answer two of them at once: the row
    is locked, so that the last one to tell has counted the other's."""
    Diagnosis.objects.select_for_update().filter(pk=diagnosis.pk).first()
    fresh = diagnosis_as_json(diagnosis)
    publish(f"team:{diagnosis.team.slug}", "diagnosis.changed", f"diagnosis:{diagnosis.uuid}", fresh)
