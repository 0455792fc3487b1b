"""Flows in pieces: what is compiled again when something changed, and what is left as it is.

A *piece* is a pure function of its `inputs` and of one of its `members` at a time; while both are the same its flows are
too. Pieces that live and die together are a *scope*; a scope whose own inputs are the same is not even looked into. So a
change costs what it touches, and no code has to know which change touches what: inputs are compared, that is all, and
tuples compare their items by identity first.

Several pieces may ask for the same flow, and several rules share one (see `Share`): both are counted, and a flow goes with
the last piece that asks for it.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Generic, NamedTuple, Protocol, TypeVar

from sdn.model.cookie import Cause
from sdn.model.flow import Flow

Place = tuple[str, tuple[tuple[str, str], ...]]  # table, match


class Share(NamedTuple):
    """A part of a flow that several rules have in common: `clause` is one conjunction's, `causes` its rule and group."""

    place: Place
    clause: str
    causes: tuple[Cause, Cause]


Item = Flow | Share
_ONE = ""
ONE: frozenset[str] = frozenset({_ONE})


class Piece(NamedTuple):
    """`make(member)` gives the items for each of `members`; it must depend on `inputs` and the member alone.

    A `common` one is the same on many hosts, and made once for all of them.
    """

    key: Hashable
    inputs: tuple[Any, ...]
    make: Callable[[str], Iterable[Item]]
    members: frozenset[str] = ONE
    common: bool = False


class Scope(NamedTuple):
    """`pieces` is asked only when `inputs` are not what they were."""

    key: Hashable
    inputs: tuple[Any, ...]
    pieces: Callable[[], Iterable[Piece]]


class Encoded(Protocol):
    """What flows become: anything with a key to tell it by, and an order."""

    @property
    def key(self) -> Any: ...

    def __lt__(self, other: Any) -> bool: ...


F = TypeVar("F", bound=Encoded)
Items = tuple[Any, ...]  # encoded flows and shares


class _Kept(NamedTuple):
    """A piece as it was made. Hosts share one that is common, so it never changes: another takes its place."""

    key: Hashable
    inputs: tuple[Any, ...]
    made: Items | dict[str, Items]  # those of a piece that is one, or each member's

    def by_member(self) -> Mapping[str, Items]:
        return self.made if isinstance(self.made, dict) else {_ONE: self.made}


@dataclass(slots=True)
class _KeptScope:
    inputs: tuple[Any, ...]
    pieces: dict[Hashable, _Kept] = field(default_factory=dict)


class _Rendered(NamedTuple, Generic[F]):
    """The flow of a place, and the shares that it is made of."""

    shares: tuple[Share, ...]
    flow: F


class Memo(Generic[F]):
    """What hosts have in common, made once. An entry goes when any host lets go of it; whoever needs it then makes it anew.

    Hosts may be compiled in threads: the worst that comes of it is that something is made twice.
    """

    def __init__(self) -> None:
        self.pieces: dict[tuple[Hashable, Hashable], _Kept] = {}  # by scope and piece
        self.rendered: dict[Place, _Rendered[F]] = {}


class PieceStore(Generic[F]):
    """The flows of one switch, kept by pieces. `render` makes the flow of a match that rules share."""

    def __init__(self, encode: Callable[[Flow], F], render: Callable[[str, Shared], Flow], memo: Memo[F]) -> None:
        self._encode, self._render, self._memo = encode, render, memo
        self._scopes: dict[Hashable, _KeptScope] = {}
        self._flows: dict[Any, F] = {}
        self._rivals: dict[Any, list[F]] = {}  # of keys that were asked for more than once
        self._rendered: dict[Place, _Rendered[F]] = {}
        self._stale: dict[Place, tuple[Share, ...]] = {}  # what is to be rendered, of these shares
        self._before: dict[Any, F | None] = {}  # what an update found, while it goes on

    @property
    def flows(self) -> Mapping[Any, F]:
        """Every flow by its key."""
        return self._flows

    def update(self, scopes: Iterable[Scope], are_all: bool = True) -> dict[Any, F | None]:
        """Make the flows those of `scopes`; the keys whose flow changed, with what was there before.

        Unless they `are_all`, other scopes stay as they are.
        """
        left = set(self._scopes)
        for scope in scopes:
            left.discard(scope.key)
            kept = self._scopes.get(scope.key)
            if kept is None:
                kept = self._scopes[scope.key] = _KeptScope(scope.inputs)
            elif kept.inputs == scope.inputs:
                continue
            kept.inputs = scope.inputs
            self._look_into(scope.key, kept, scope.pieces())
        for key in left if are_all else ():
            self._look_into(key, self._scopes.pop(key), ())
        self._render_shares()
        before, self._before = self._before, {}
        return {key: was for key, was in before.items() if was != self._flows.get(key)}

    def _look_into(self, scope: Hashable, kept: _KeptScope, pieces: Iterable[Piece]) -> None:
        left = set(kept.pieces)
        for piece in pieces:
            left.discard(piece.key)
            had = kept.pieces.get(piece.key)
            if had is None or not _is_of(had, piece):
                fresh = kept.pieces[piece.key] = self._made(scope, piece, had)
                self._exchange(scope, had, fresh)
        for key in left:
            self._exchange(scope, kept.pieces.pop(key), None)

    def _made(self, scope: Hashable, piece: Piece, had: _Kept | None) -> _Kept:
        """The piece: another host's, or what is still good of either, with the rest made."""
        known = self._memo.pieces.get((scope, piece.key)) if piece.common else None
        base = next((one for one in (known, had) if one is not None and one.inputs == piece.inputs), None)
        if base is not None and _is_of(base, piece):
            return base
        if piece.members == ONE:
            fresh = _Kept(piece.key, piece.inputs, self._make(piece, _ONE))
        else:
            made = dict(base.by_member()) if base is not None else {}
            for member in made.keys() - piece.members:
                del made[member]
            for member in piece.members - made.keys():
                made[member] = self._make(piece, member)
            fresh = _Kept(piece.key, piece.inputs, made)
        if piece.common:
            self._memo.pieces[scope, piece.key] = fresh
        return fresh

    def _make(self, piece: Piece, member: str) -> Items:
        return tuple([item if isinstance(item, Share) else self._encode(item) for item in piece.make(member)])

    def _exchange(self, scope: Hashable, had: _Kept | None, fresh: _Kept | None) -> None:
        """Put a piece's flows in another's place; what both have stays untouched."""
        old: Mapping[str, Items] = had.by_member() if had is not None else {}
        new: Mapping[str, Items] = fresh.by_member() if fresh is not None else {}
        if had is not None and self._memo.pieces.get((scope, had.key)) is had:
            self._memo.pieces.pop((scope, had.key), None)
        for item in _only_in(old, new):
            if isinstance(item, Share):
                self._unshare(item)
            else:
                self._remove(item)
        for item in _only_in(new, old):
            if isinstance(item, Share):
                self._share(item)
            else:
                self._put(item)

    def _put(self, flow: F) -> None:
        key = flow.key
        there = self._flows.get(key)
        self._before.setdefault(key, there)
        if there is None:
            self._flows[key] = flow
            return
        rivals = self._rivals.setdefault(key, [there])
        rivals.append(flow)
        self._flows[key] = min(rivals)

    def _remove(self, flow: F) -> None:
        key = flow.key
        self._before.setdefault(key, self._flows[key])
        rivals = self._rivals.get(key)
        if rivals is None:
            del self._flows[key]
            return
        rivals.remove(flow)
        self._flows[key] = min(rivals)
        if len(rivals) == 1:
            del self._rivals[key]

    def _share(self, item: Share) -> None:
        self._stale[item.place] = (*self._shares_at(item.place), item)

    def _unshare(self, item: Share) -> None:
        left = list(self._shares_at(item.place))
        left.remove(item)
        self._stale[item.place] = tuple(left)

    def _shares_at(self, place: Place) -> tuple[Share, ...]:
        if (shares := self._stale.get(place)) is not None:
            return shares
        return there.shares if (there := self._rendered.get(place)) is not None else ()

    def _render_shares(self) -> None:
        for place, shares in self._stale.items():
            if (there := self._rendered.pop(place, None)) is not None:
                self._remove(there.flow)
            if shares:
                fresh = self._rendered[place] = self._rendered_of(place, shares)
                self._put(fresh.flow)
            else:
                self._memo.rendered.pop(place, None)
        self._stale.clear()

    def _rendered_of(self, place: Place, shares: tuple[Share, ...]) -> _Rendered[F]:
        known = self._memo.rendered.get(place)
        if known is not None and known.shares == shares:
            return known
        flow = self._encode(self._render(place[0], Shared(place[1], shares)))
        fresh = self._memo.rendered[place] = _Rendered(shares, flow)
        return fresh


def _is_of(kept: _Kept, piece: Piece) -> bool:
    if kept.inputs != piece.inputs:
        return False
    return kept.made.keys() == piece.members if isinstance(kept.made, dict) else piece.members == ONE


def _only_in(these: Mapping[str, Items], those: Mapping[str, Items]) -> Iterator[Any]:
    """The items of members that the others do not have, or have otherwise."""
    for member, items in these.items():
        if those.get(member) is not items:
            yield from items


class Shared(NamedTuple):
    """All that is asked of one match."""

    match: tuple[tuple[str, str], ...]
    shares: tuple[Share, ...]

    def causes(self) -> Iterator[tuple[Cause, Cause]]:
        """Each share's rule and group."""
        return (share.causes for share in self.shares)
