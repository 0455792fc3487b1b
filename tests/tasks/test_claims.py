"""One worker at a time holds an operation: who takes it has what the one before wrote last, and who lost it writes no more."""

from __future__ import annotations

import threading

import pytest
from django.db import OperationalError, connection, transaction

from portal.live import publishers
from portal.operations.cancel import request_cancel
from portal.operations.models import Operation, OperationState, StageState
from tasks.sagas import engine
from tasks.sagas.engine import Context, LeaseLost, Stage, StageError, claim
from tasks.sagas.rows import keep_params
from tests.tasks.test_sagas import CREATE, Killed, die, expire_lease, run
from tests.waiting import wait_for


@pytest.fixture
def operation(world):
    with transaction.atomic():
        return world.ask("vm.create", world.make_vm())


@pytest.fixture(autouse=True)
def no_broker(monkeypatch):
    monkeypatch.setattr("portal.operations.cancel.enqueue_operation", lambda _id: None)


@pytest.fixture
def between(monkeypatch):
    """What happens between a claim's look at the rows and its compare-and-set."""

    def happens(act):
        def must_wait(_operation):
            act()
            return False

        monkeypatch.setattr(engine, "_must_wait", must_wait)

    return happens


def doing(**stages):
    """A create whose stages do nothing, but for these."""
    return {"vm.create": tuple(Stage(name, stages.get(name, lambda _context: None)) for name in CREATE)}


NOTHING = doing()


def stored(operation):
    return Operation.objects.values_list("params", flat=True).get(pk=operation.pk)


@pytest.mark.django_db(transaction=True)
def test_of_workers_that_all_saw_it_free_one_has_it(operation, between):
    number = 4
    seen, held = threading.Barrier(number), []
    between(lambda: seen.wait(30))

    def take(worker):
        if claim(operation.pk, worker):
            held.append(worker)
        connection.close()

    for _ in range(3):  # the first time nobody's, then one whose lease ran out
        held.clear()
        threads = [threading.Thread(target=take, args=(f"w{one}",)) for one in range(number)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
        assert held == [Operation.objects.get(pk=operation.pk).worker]
        expire_lease(operation)


def test_one_whose_worker_lives_on_without_a_lease_is_taken_as_that_left_it(operation, between):
    """A worker that stood still for a while goes on, and undoes a stage, while the next one looks."""
    slow = claim(operation.pk, "slow")
    awake = engine._Run(slow, "slow", NOTHING["vm.create"], lambda _host: None)
    awake._mark(awake._saga[0], state=StageState.DONE)
    awake._save(state=OperationState.RUNNING)
    expire_lease(operation)

    def undo():
        awake._mark(awake._saga[0], state=StageState.UNDONE)
        awake._save(state=OperationState.UNDOING, error="the disk is full", params={"seen": 1})

    between(undo)
    taken = claim(operation.pk, "next")
    assert (taken.state, taken.error, taken.params) == (OperationState.UNDOING, "the disk is full", {"seen": 1})
    assert taken.stages.all()[0].state == StageState.UNDONE
    with pytest.raises(LeaseLost):
        awake._save()


def test_a_worker_that_lost_its_lease_adds_nothing_to_the_params(operation):
    slow = Context(claim(operation.pk, "slow"), lambda _host: None)
    keep_params(slow, seen=1)
    expire_lease(operation)
    assert claim(operation.pk, "next")
    with pytest.raises(LeaseLost):
        keep_params(slow, seen=2)
    assert stored(operation) == {"seen": 1}


def test_a_lease_is_renewed_again_after_the_rows_could_not_be_reached(operation, monkeypatch):
    monkeypatch.setattr(engine, "RENEW_S", 0.01)
    asked = []

    class Rows:
        """The first time they are away."""

        def filter(self, **_words):
            return self

        def update(self, **_columns):
            asked.append(threading.current_thread())
            if len(asked) == 1:
                raise OperationalError("the database system is shutting down")
            return 1

    renewal = engine._Renewal(operation.pk, "one")
    renewal._rows = Rows()
    with renewal:
        wait_for(lambda: len(asked) > 2, 10, "it is renewed", every_s=0.01)


def test_what_a_stage_tells_is_kept_with_its_end_and_with_no_other(world, operation):
    """Told by one that is cut, and by one that fails: nothing; by one that is done: with the row that says so."""
    first, second = CREATE[:2]

    def tells(context):
        context.told["seen"] = first
        if stored(operation)["claims"] == 1:
            raise Killed

    def fails(context):
        assert stored(operation)["seen"] == first, "the first stage's end is written by now"
        context.told["more"] = second
        raise StageError("the disk is full")

    sagas = doing(**{first: tells, second: fails})
    die(world, operation, sagas)
    assert stored(operation) == {"claims": 1}
    assert run(world, operation, sagas).state == OperationState.FAILED
    assert stored(operation) == {"claims": 2, "seen": first}


def test_a_last_stage_that_tells_brings_nothing_back_that_is_to_be_forgotten(world, operation):
    Operation.objects.filter(pk=operation.pk).update(params={"asked": {"user_data": "a secret"}})
    run(world, operation, doing(**{CREATE[-1]: lambda context: context.told.update(seen=1)}))
    assert stored(operation) == {"claims": 1, "seen": 1}


def test_a_cancel_that_is_asked_for_while_a_worker_takes_it_is_seen(world, operation, between):
    between(lambda: request_cancel(operation, operation.created_by))
    done = []
    assert run(world, operation, doing(**{CREATE[0]: done.append})).state == OperationState.CANCELLED
    assert not done and operation.error == "Cancelled by alice."


def test_every_event_after_a_cancel_says_who_asked(world, operation, monkeypatch):
    told = []
    monkeypatch.setattr(publishers, "publish", lambda _topic, _type, _key, value: told.append(value["cancel_asked_by"]))

    def asked_for_in(context):
        request_cancel(operation, operation.created_by)
        told.clear()
        context.tell("half of it")

    assert run(world, operation, doing(**{CREATE[1]: asked_for_in})).state == OperationState.CANCELLED
    assert len(told) > 3 and set(told) == {"alice"}
