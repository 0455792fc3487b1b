"""The worker's Celery app: `celery -A tasks.celery worker --pool threads`, and `… beat` for the sweeps.

Tasks are thin. Latency: Redis wakes a waiting worker at once; what got lost is found by the sweep.
"""

from __future__ import annotations

import os
from typing import Any

import django
from celery import Celery
from celery.signals import worker_ready, worker_shutting_down

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "portal.config.settings")
django.setup()

from django.conf import settings  # noqa: E402
from django.db import close_old_connections  # noqa: E402

SWEEP_S, ORPHANS_S, CHECKS_S, PURGE_S, FORGET_S, ROLL_UP_S, POOLS_S = 5.0, 30.0, 2.0, 20.0, 3600.0, 60.0, 15.0
WATCH_S, DELIVER_S, USAGE_S, COPIES_S = 10.0, 2.0, 60.0, 60.0

app: Any = Celery("hopsight", broker=settings.CELERY_BROKER_URL)
app.conf.update(
    worker_pool="threads",
    worker_prefetch_multiplier=1,
    task_ignore_result=True,
    task_acks_late=True,
    broker_connection_retry_on_startup=True,
    broker_transport_options={"visibility_timeout": 300, "polling_interval": 0.05},
    worker_hijack_root_logger=False,
    timezone="UTC",
    beat_max_loop_interval=1,
    beat_schedule={
        "sweep": {"task": "hopsight.sweep", "schedule": SWEEP_S, "options": {"expires": SWEEP_S}},
        "checks": {"task": "hopsight.run_checks", "schedule": CHECKS_S, "options": {"expires": CHECKS_S}},
        "purge": {"task": "hopsight.purge", "schedule": PURGE_S, "options": {"expires": PURGE_S}},
        "orphans": {"task": "hopsight.find_orphans", "schedule": ORPHANS_S, "options": {"expires": ORPHANS_S}},
        "watch": {"task": "hopsight.watch", "schedule": WATCH_S, "options": {"expires": WATCH_S}},
        "deliver": {"task": "hopsight.deliver", "schedule": DELIVER_S, "options": {"expires": DELIVER_S}},
        "roll_up": {"task": "hopsight.roll_up", "schedule": ROLL_UP_S, "options": {"expires": ROLL_UP_S}},
        "usage": {"task": "hopsight.count_use", "schedule": USAGE_S, "options": {"expires": USAGE_S}},
        "pools": {"task": "hopsight.look_at_pools", "schedule": POOLS_S, "options": {"expires": POOLS_S}},
        "stores": {"task": "hopsight.look_at_stores", "schedule": POOLS_S, "options": {"expires": POOLS_S}},
        "copies": {"task": "hopsight.tidy_image_copies", "schedule": COPIES_S, "options": {"expires": COPIES_S}},
        "forget": {"task": "hopsight.forget", "schedule": FORGET_S, "options": {"expires": FORGET_S}},
    },
)


@app.task(name="hopsight.run_operation")  # type: ignore[untyped-decorator]
def run_operation(operation_id: int) -> None:
    """Bring one operation to its end."""
    from tasks.sagas import engine
    from tasks.sagas.table import SAGAS

    close_old_connections()
    engine.run_operation(operation_id, SAGAS)


@app.task(name="hopsight.run_matrix")  # type: ignore[untyped-decorator]
def run_matrix(run_id: int) -> None:
    """Say who reaches whom."""
    from tasks.matrices import run_matrix as compute

    close_old_connections()
    compute(run_id)


@app.task(name="hopsight.run_what_if")  # type: ignore[untyped-decorator]
def run_what_if(run_id: int) -> None:
    """Say what a change would change."""
    from tasks.what_ifs import run_what_if as compute

    close_old_connections()
    compute(run_id)


@app.task(name="hopsight.run_flow_what_if")  # type: ignore[untyped-decorator]
def run_flow_what_if(run_id: int) -> None:
    """Say what a flow more, less or other would change."""
    from tasks.flow_what_ifs import run_flow_what_if as compute

    close_old_connections()
    compute(run_id)


@app.task(name="hopsight.read_bundle")  # type: ignore[untyped-decorator]
def read_bundle(bundle_id: int) -> None:
    """Unpack and read a support bundle that was uploaded."""
    from tasks.bundle_desk import read_upload

    close_old_connections()
    read_upload(bundle_id)


@app.task(name="hopsight.trace_bundle")  # type: ignore[untyped-decorator]
def trace_bundle(trace_id: int) -> None:
    """Say which way a packet takes in a support bundle."""
    from tasks.bundle_desk import run_bundle_trace

    close_old_connections()
    run_bundle_trace(trace_id)


@app.task(name="hopsight.trace_port")  # type: ignore[untyped-decorator]
def trace_port(trace_id: int) -> None:
    """Say which way a packet takes from a port of a live host."""
    from tasks.port_traces import run_port_trace

    close_old_connections()
    run_port_trace(trace_id)


@app.task(name="hopsight.take_screens")  # type: ignore[untyped-decorator]
def take_screens(host_id: int) -> None:
    """Take the pictures of guests' screens that are wanted of a host."""
    from tasks.screens import take_screens as take

    close_old_connections()
    take(host_id)


@app.task(name="hopsight.run_checks")  # type: ignore[untyped-decorator]
def run_checks(check_id: int = 0) -> None:
    """Look at one path check, or at those that are due."""
    from tasks.checks import run_checks as look

    close_old_connections()
    look(check_id)


@app.task(name="hopsight.sweep")  # type: ignore[untyped-decorator]
def sweep() -> None:
    """Send again every unfinished operation that no worker holds, and every trace that nobody answered."""
    from portal.operations.dispatch import enqueue_operation
    from tasks.prober import end_silent
    from tasks.sagas.engine import due_operations, release_dead_workers
    from tasks.tracer import resend_traces

    close_old_connections()
    release_dead_workers()
    for operation_id in due_operations():
        enqueue_operation(operation_id)
    resend_traces()
    end_silent()


@app.task(name="hopsight.purge")  # type: ignore[untyped-decorator]
def purge() -> None:
    """End the leases that are over, and delete for good the VMs whose time to be had back is over."""
    from portal.backups.requests import keep_plans as keep_backup_plans
    from portal.compute.changes import purge_deleted
    from portal.compute.leases import end_leases
    from portal.images.requests import abandon_old
    from portal.snapshots.plans import keep_plans

    close_old_connections()
    end_leases()
    purge_deleted()
    abandon_old()
    keep_plans()
    keep_backup_plans()


@worker_ready.connect  # type: ignore[untyped-decorator]
def sweep_at_start(**_facts: object) -> None:
    """What an earlier worker left in the middle goes on now."""
    sweep.delay()
    look_at_pools.delay()
    look_at_stores.delay()


@worker_ready.connect  # type: ignore[untyped-decorator]
def begin_tracing(**_facts: object) -> None:
    """This worker's tracer takes orders from now on, until the worker is told to end; SQLite's log is written back beside it."""
    from portal.config.memory import collect_seldom
    from portal.config.turns import hand_over_soon
    from tasks.prober import Prober
    from tasks.tracer import Tracer
    from tasks.write_back import WriteBack

    collect_seldom()
    hand_over_soon()
    for one in (Tracer(), Prober(), WriteBack()):
        worker_shutting_down.connect(lambda one=one, **_: one.stop(), weak=False)
        one.start()


@app.task(name="hopsight.find_orphans")  # type: ignore[untyped-decorator]
def find_orphans() -> None:
    """Keep what is on hosts that has our mark and that no row explains, and what is there of others."""
    from tasks.reconcile.foreign import look_at_all
    from tasks.reconcile.orphans import find_all_orphans

    close_old_connections()
    look_at_all()
    find_all_orphans()


@app.task(name="hopsight.look_at_pools")  # type: ignore[untyped-decorator]
def look_at_pools() -> None:
    """Keep what the hosts' storage pools are."""
    from tasks.pools import look_at_pools as look

    close_old_connections()
    look()


@app.task(name="hopsight.look_at_stores")  # type: ignore[untyped-decorator]
def look_at_stores() -> None:
    """Keep what the stores of backups are. A task of its own: one that does not answer holds up no look at a pool."""
    from tasks.backups.look import look_at_stores as look

    close_old_connections()
    look()


@app.task(name="hopsight.tidy_image_copies")  # type: ignore[untyped-decorator]
def tidy_image_copies() -> None:
    """Pull and evict copies of images on hosts, as rows and the room ask for it."""
    from tasks.images.copies import tidy

    close_old_connections()
    tidy()


@app.task(name="hopsight.forget")  # type: ignore[untyped-decorator]
def forget() -> None:
    """Drop answers and events that are kept for a day only."""
    from django.utils import timezone

    from portal.alerts.telling import forget as forget_alerts
    from portal.api.answers import forget_old
    from portal.bundles.requests import forget_bundles

    close_old_connections()
    forget_old(timezone.now())
    forget_alerts()
    forget_bundles(timezone.now())


@app.task(name="hopsight.roll_up")  # type: ignore[untyped-decorator]
def roll_up() -> None:
    """Make minutes and tens of minutes of what was sampled, and forget what is older than it is kept."""
    import time

    from portal.history.store import roll_up as thin

    close_old_connections()
    thin(int(time.time()))


@app.task(name="hopsight.count_use")  # type: ignore[untyped-decorator]
def count_usage() -> None:
    """Add what teams hold to their days."""
    from django.utils import timezone

    from portal.usage.metering import count_use

    close_old_connections()
    count_use(timezone.now())


@app.task(name="hopsight.watch")  # type: ignore[untyped-decorator]
def watch() -> None:
    """Begin and end alerts."""
    from portal.alerts.telling import watch_all

    close_old_connections()
    watch_all()


@app.task(name="hopsight.deliver")  # type: ignore[untyped-decorator]
def deliver() -> None:
    """Tell channels what is due, events of their teams too."""
    from portal.alerts.telling import take_events
    from tasks.hooks.deliver import deliver_due

    close_old_connections()
    take_events()
    deliver_due()
