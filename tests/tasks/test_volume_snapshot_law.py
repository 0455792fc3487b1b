"""The law of a volume's chain over random histories: whatever the order of snapshots of it and of the VM that has it, reverts,
deletions, attaching and detaching, rows, files and what a reader finds at each moment are as a model of trees says.

[frozen at o1] ← [frozen at v1, with its VM] ← [frozen at o2] ← [what is written]
                 [frozen at v1, with its VM] ← [frozen at o3]
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from django.db import transaction
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from portal.accounts.models import User
from portal.compute.models import VM, VMState
from portal.compute.requests import VMProblem
from portal.hosts.models import Host
from portal.operations.models import OperationState
from portal.snapshots.models import Snapshot, SnapshotVolume
from portal.snapshots.of_volumes import clone_snapshot, delete_volume_snapshot, revert_volume, take_volume_snapshot
from portal.snapshots.requests import SnapshotSpec, delete_snapshot, revert_to, take_snapshot
from portal.volumes.models import Volume
from portal.volumes.requests import attach_volume, detach_volume
from tasks.reconcile.orphans import find_orphans
from tests.tasks.test_faults import Kept, PutBack
from tests.tasks.test_sagas import run
from tests.tasks.test_snapshots import held, put, read, with_volume
from tests.tasks.test_volume_snapshots import assert_true

WHICH = st.integers(0, 3)
STEPS = st.one_of(
    st.tuples(st.sampled_from(["write", "own", "of_vm", "attach", "detach", "power", "clone"]), WHICH),
    st.tuples(st.sampled_from(["revert_own", "revert_vm", "delete_own", "delete_vm"]), WHICH),
    st.tuples(st.sampled_from(["delete_own", "delete_vm"]), WHICH),
)
BEGUN = (("write", 0), ("own", 0), ("write", 1), ("of_vm", 0), ("write", 2), ("own", 0), ("write", 3))
BEGUN_OFF = (*BEGUN, ("power", 0))
HISTORY = st.tuples(st.sampled_from([BEGUN, BEGUN_OFF]), st.lists(STEPS, min_size=5, max_size=10))
LAW = settings(max_examples=6, deadline=None, suppress_health_check=list(HealthCheck))


@dataclass
class Tree:
    """Moments by name: what each lies on, and what is written now lies on `current`."""

    below: dict[str, str] = field(default_factory=dict)
    current: str = ""

    def take(self, name):
        self.below[name], self.current = self.current, name

    def lines_on(self, name):
        return [*self.below.values()].count(name) + (self.current == name)

    def drop(self, name):
        """It goes, and what lay on it lies on what it lay on."""
        under = self.below.pop(name)
        self.below = {one: under if it == name else it for one, it in self.below.items()}
        self.current = under if self.current == name else self.current


class Model:
    """What should be true: of the volume, of each VM's own disk, and what was asked for that must be refused."""

    def __init__(self):
        self.tree, self.disks = Tree(), {"web-1": Tree(), "web-2": Tree()}
        self.now, self.then = [0, 0, 0, 0], {}
        self.holder, self.are_on, self.made = "web-1", {"web-1": True, "web-2": True}, 0

    @property
    def vm(self):
        return self.holder or "web-1"

    def pick(self, letter, which):
        """One of the volume's own (`o`) or of the VM's (`v`), if there is one."""
        names = [*self.tree.below] if letter == "o" else [*self.disks[self.vm].below]
        names = sorted(name for name in names if name[0] == letter)
        return names[which % len(names)] if names else ""

    def refuses(self, kind, name):
        if kind == "attach":
            return bool(self.holder)
        if kind == "detach":
            return not self.holder or any(one[0] == "v" for one in self.tree.below)
        if kind == "revert_own":
            return bool(self.holder) and self.are_on[self.holder]
        on_volume = self.tree.lines_on(name) > 1
        return kind.startswith("delete") and (on_volume or self.disks[self.vm].lines_on(name) > 1)

    def change(self, kind, name):
        if kind in ("own", "of_vm") and (kind == "own" or self.holder):
            self.tree.take(name)
            self.then[name] = list(self.now)
        if kind == "of_vm":
            self.disks[self.vm].take(name)
        if kind == "revert_vm":
            self.disks[self.vm].current = name
        if kind.startswith("revert") and name in self.tree.below:
            self.now, self.tree.current = list(self.then[name]), name
        if kind.startswith("delete"):
            for tree in (self.tree, self.disks[self.vm]):
                if name in tree.below:
                    tree.drop(name)
        if kind in ("attach", "detach"):
            self.holder = name


class Walk:
    """One history on the fake host, beside its model."""

    def __init__(self, world, volume):
        self.world, self.volume, self.model = world, volume, Model()
        self.alice = User.objects.get(username="alice")

    def step(self, kind, which):
        model = self.model
        model.made += 1
        if kind == "write":
            model.now[which] = model.made
            return put(self.volume, which, model.made)
        if kind == "power":
            return self._power()
        letter = {"own": "o", "of_vm": "v"}.get(kind, "")
        name = f"{letter}{model.made:02}" if letter else self._named(kind, which)
        if kind not in ("detach", "attach") and not name:
            return None
        is_refused = model.refuses(kind, name)
        try:
            with transaction.atomic():
                operation = self._ask(kind, name)
        except VMProblem as problem:
            assert is_refused, (kind, name, str(problem))
            return None
        assert not is_refused, (kind, name)
        assert run(self.world, operation).state == OperationState.DONE, (kind, name, operation.error)
        model.change(kind, name)
        assert held(self.volume) == model.now, (kind, name)

    def _named(self, kind, which):
        if kind in ("attach", "detach"):
            return ("web-1", "web-2")[which % 2] if kind == "attach" else ""
        return self.model.pick("v" if kind.endswith("vm") else "o", which)

    def _ask(self, kind, name):
        volume = Volume.objects.select_related("team").get(pk=self.volume.pk)
        vm = VM.objects.select_related("team", "host").get(name=self.model.vm)
        if kind == "own":
            return take_volume_snapshot(volume, self.alice, name)
        if kind == "of_vm":
            return take_snapshot(vm, self.alice, SnapshotSpec(name))
        if kind == "attach":
            return attach_volume(volume, self.alice, VM.objects.select_related("host", "team").get(name=name))
        if kind == "detach":
            return detach_volume(volume, self.alice)
        if kind.endswith("vm"):
            asked = revert_to if kind == "revert_vm" else delete_snapshot
            return asked(Snapshot.objects.select_related("vm__team").get(name=name), self.alice)
        moment = SnapshotVolume.objects.select_related("volume__team").get(name=name)
        if kind == "clone":
            return clone_snapshot(moment, self.alice, f"copy-{self.model.made}")[1]
        return (revert_volume if kind == "revert_own" else delete_volume_snapshot)(moment, self.alice)

    def _power(self):
        vm, fake = VM.objects.get(name=self.model.vm), self.world.fake
        self.model.are_on[vm.name] = is_on = not self.model.are_on[vm.name]
        (fake.start if is_on else fake.destroy)(vm.domain)
        VM.objects.filter(pk=vm.pk).update(state=VMState.RUNNING if is_on else VMState.STOPPED)

    def check(self):
        """Rows and files are as the model has them, and each moment reads as what was written by then."""
        model, parts = self.model, assert_true(self.world, self.volume)
        assert {one.title: one.parent.title if one.parent else "" for one in parts.values()} == model.tree.below
        assert [one.title for one in parts.values() if one.is_current] == [model.tree.current] * bool(parts)
        for name, one in parts.items():
            assert read(Path(self.volume.path).with_name(one.file_name)) == model.then[name], name
        assert held(self.volume) == model.now
        assert (self.volume.vm.name if self.volume.vm else "") == model.holder
        assert find_orphans(self.world.host, self.world.fake) == []


@pytest.fixture
def place(world, settings, tmp_path):
    """Two VMs that run, and a volume of the first one's, in folders that can be put back."""
    world.folder = tmp_path / "hosts" / "one"
    world.folder.mkdir(parents=True)
    settings.ORPHAN_GRACE_S = 0
    Host.objects.update(disks_dir=str(world.folder))
    world.host.refresh_from_db()
    world.fakes = {"hv1": world.fake}
    for name in ("web-1", "web-2"):
        assert run(world, world.ask("vm.create", world.make_vm(name))).state == OperationState.DONE
    world.volume = with_volume(world, VM.objects.get(name="web-1"))
    return world


@LAW
@given(history=HISTORY)
def test_any_order_of_changes_leaves_a_chain_that_reads_as_it_was_written(place, tmp_path_factory, history):
    kept = Kept(place, tmp_path_factory.mktemp("kept"))
    try:
        with suppress(PutBack), transaction.atomic():
            walk = Walk(place, Volume.objects.get(pk=place.volume.pk))
            begun, more = history
            for kind, which in (*begun, *more):
                walk.step(kind, which)
            walk.check()
            raise PutBack
    finally:
        kept.put_back()
