"""`scripts/bench`: every figure against its reference in the same run, into bench/results.json."""

from __future__ import annotations

import json
import os
import platform
import sys
from pathlib import Path
from typing import Any

from bench.agreement import agreement_1000_packets
from bench.bundles import shadow_load_ms
from bench.compiled import compile_10k_ports_s, controller_memory_10k_ports
from bench.console import console
from bench.create_50 import create_50_parallel_s
from bench.events import event_to_page_ms
from bench.fan_out import fan_out, fan_out_memory
from bench.first_load import first_load
from bench.flows import flows_programmed_per_s, reconnect_resync_s
from bench.migration import migration_lost_pings
from bench.packet_ins import packet_ins
from bench.page_ms import page_ms
from bench.pages import flow_change_to_page
from bench.reach import matrix_100_vms, what_if_50_vms_s
from bench.topology import measure_topology
from bench.trace_api import trace_api
from bench.traces import trace_predicted
from bench.vm_list import vm_list_10k_page_ms
from bench.vms import measure_vms
from bench.wired import wired

RESULTS = Path(__file__).parent / "results.json"


def main(wanted: list[str]) -> None:
    """Measure all, or those named."""
    metrics: dict[str, Any] = json.loads(RESULTS.read_text())["metrics"] if RESULTS.exists() and wanted else {}
    for name, measure in (
        ("flows_programmed_per_s", flows_programmed_per_s),
        ("trace_predicted", trace_predicted),
        ("reconnect_resync_s", reconnect_resync_s),
        ("packet_ins", packet_ins),
        ("wired", wired),
        ("compiled", compile_10k_ports_s),
        ("controller_memory_10k_ports", controller_memory_10k_ports),
        ("flow_change_to_page", flow_change_to_page),
        ("matrix_100_vms", matrix_100_vms),
        ("what_if_50_vms_s", what_if_50_vms_s),
        ("trace_api", trace_api),
        ("shadow_load", shadow_load_ms),
        ("topology", measure_topology),
        ("console", console),
        ("event_to_page_ms", event_to_page_ms),
        ("agreement_1000_packets", agreement_1000_packets),
        ("vms", measure_vms),
        ("create_50_parallel_s", create_50_parallel_s),
        ("migration_lost_pings", migration_lost_pings),
        ("first_load", first_load),
        ("fan_out", fan_out),
        ("fan_out_memory", fan_out_memory),
        ("page_ms", page_ms),
        ("vm_list_10k_page_ms", vm_list_10k_page_ms),
    ):
        if wanted and name not in wanted:
            continue
        measured: dict[str, Any] = measure()
        metrics |= measured if "ours" not in measured else {name: measured}  # several figures, or one
        print(name, json.dumps(measured), flush=True)
        _keep(metrics)  # after each: a figure that can't be had costs no other


def _keep(metrics: dict[str, Any]) -> None:
    machine = {"cores": os.cpu_count(), "python": platform.python_version(), "kernel": platform.release()}
    RESULTS.write_text(json.dumps({"machine": machine, "metrics": metrics}, indent=2) + "\n")


if __name__ == "__main__":
    main(sys.argv[1:])
