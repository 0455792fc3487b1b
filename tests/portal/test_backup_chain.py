"""Chains of backups as laws: whatever was taken and deleted, what is kept can be restored."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from portal.backups.chain import Kept, Wish, chain_of, choose, superfluous, with_those_on

HOSTS = st.sampled_from(["hv1", "hv2"])
WISHES = st.builds(
    Wish,
    store=st.integers(1, 2),
    host=HOSTS,
    wants_full=st.booleans(),
    full_every=st.integers(0, 4),
)
EVENTS = st.lists(
    st.one_of(st.tuples(st.just("take"), WISHES), st.tuples(st.just("drop"), st.integers(0, 20))), max_size=25
)


def played(events, is_scheduled=True):
    """What is kept after so many were taken and deleted, as the sagas do it."""
    kept, number = [], 0
    for what, value in events:
        if what == "take":
            number += 1
            choice = choose(kept, value)
            kept = [_without_checkpoint(one) for one in kept]
            kept.append(Kept(number, choice.parent, number % 5 > 0, value.host, value.store, is_scheduled=is_scheduled))
        elif kept:
            doomed = with_those_on(kept, kept[value % len(kept)].id)
            parents = {one.parent for one in kept if one.id in doomed}
            kept = [_without_checkpoint(one) if one.id in parents else one for one in kept if one.id not in doomed]
    return kept


def _without_checkpoint(one):
    return Kept(one.id, one.parent, False, one.host, one.store, one.is_whole, one.is_scheduled)


@given(EVENTS)
def test_every_chain_begins_with_a_full_one_in_one_store_and_none_misses_a_link(events):
    kept = played(events)
    for one in kept:
        links = chain_of(kept, one.id)
        assert links[-1] == one and not links[0].parent
        assert [link.parent for link in links[1:]] == [link.id for link in links[:-1]]
        assert len({(link.store, link.host) for link in links}) == 1


@given(EVENTS, WISHES)
def test_an_incremental_one_lies_only_on_the_last_one_which_has_a_checkpoint_where_the_vm_runs(events, wish):
    kept = played(events)
    choice = choose(kept, wish)
    assert bool(choice.parent) != bool(choice.reason)
    if choice.parent:
        last = max(kept, key=lambda one: one.id)
        assert (choice.parent, last.has_checkpoint, last.host, last.store) == (last.id, True, wish.host, wish.store)
        assert not wish.wants_full
        assert not wish.full_every or len(chain_of(kept, last.id)) < wish.full_every


@given(EVENTS, st.integers(1, 5))
def test_retention_deletes_whole_chains_the_oldest_and_keeps_so_many(events, keep):
    kept = played(events)
    roots = [one.id for one in kept if not one.parent]
    gone = superfluous(kept, keep)
    assert gone == sorted(roots)[: max(0, len(roots) - keep)]
    left = [one for one in kept if one.id not in {doomed for root in gone for doomed in with_those_on(kept, root)}]
    assert all(not chain_of(left, one.id)[0].parent for one in left)


@given(EVENTS)
def test_none_is_deleted_before_one_that_lies_on_it(events):
    kept = played(events)
    for one in kept:
        order = with_those_on(kept, one.id)
        parents = {row.id: row.parent for row in kept}
        assert order[-1] == one.id
        assert all(order.index(row) < order.index(parents[row]) for row in order if row != one.id)


@given(EVENTS)
def test_a_plan_deletes_nothing_that_people_took(events):
    assert superfluous(played(events, is_scheduled=False), 1) == []


def test_a_chain_that_is_damaged_is_not_added_to():
    kept = [Kept(1, 0, False, "hv1", 1, is_whole=False), Kept(2, 1, True, "hv1", 1)]
    assert "damaged" in choose(kept, Wish(1, "hv1")).reason
