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


class Share(NamedTuple):
    """A part of a flow that several rules have in common: `clause` is one conjunction's, `causes` its rule and group."""

    table: str
    match: tuple[tuple[str, str], ...]
    clause: str
    causes: tuple[Cause, Cause]


Item = Flow | Share
ONE: frozenset[str] = frozenset({""})


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
Made = dict[str, tuple[Any, ...]]  # member → its encoded flows and shares


@dataclass(slots=True)
class _Kept:
    inputs: tuple[Any, ...]
    made: Made
    common: Hashable  # what the memo has it by, None for a piece of one host


@dataclass(slots=True)
class _KeptScope:
    inputs: tuple[Any, ...]
    pieces: dict[Hashable, _Kept] = field(default_factory=dict)


Items = tuple[Any, ...]
Place = tuple[str, tuple[tuple[str, str], ...]]  # table, match


class Memo(Generic[F]):
    """What hosts have in common, made once. An entry goes when any host lets go of it; whoever needs it then makes it anew.

    Hosts may be compiled in threads: the worst that comes of it is that something is made twice.
    """

    def __init__(self) -> None:
        self.items: dict[Hashable, tuple[tuple[Any, ...], Items]] = {}
        self.rendered: dict[Place, tuple[tuple[Share, ...], F]] = {}


class PieceStore(Generic[F]):
    """The flows of one switch, kept by pieces. `render` makes the flow of a match that rules share."""

    def __init__(self, encode: Callable[[Flow], F], render: Callable[[str, Shared], Flow], memo: Memo[F]) -> None:
        self._encode, self._render, self._memo = encode, render, memo
        self._scopes: dict[Hashable, _KeptScope] = {}
        self._flows: dict[Any, F] = {}
        self._rivals: dict[Any, list[F]] = {}  # of keys that were asked for more than once
        self._shares: dict[Place, tuple[Share, ...]] = {}
        self._rendered: dict[Place, F] = {}
        self._before: dict[Any, F | None] = {}
        self._stale: set[Place] = set()

    @property
    def flows(self) -> Mapping[Any, F]:
        """Every flow by its key."""
        return self._flows

    def update(self, scopes: Iterable[Scope], are_all: bool = True) -> dict[Any, F | None]:
        """Make the flows those of `scopes`; the keys whose flow changed, with what was there before.

        Unless they `are_all`, other scopes stay as they are.
        """
        is_first = not self._flows
        self._before = {}
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
        if is_first:
            return dict.fromkeys(self._flows)
        return {key: was for key, was in self._before.items() if was != self._flows.get(key)}

    def _look_into(self, scope: Hashable, kept: _KeptScope, pieces: Iterable[Piece]) -> None:
        left = set(kept.pieces)
        for piece in pieces:
            left.discard(piece.key)
            had = kept.pieces.get(piece.key)
            if had is not None and had.inputs == piece.inputs:
                self._change_members(had, piece)
                continue
            if had is not None:
                self._take_back(had, had.made)
            common = (scope, piece.key) if piece.common else None
            fresh = kept.pieces[piece.key] = _Kept(piece.inputs, {}, common)
            for member in piece.members:
                fresh.made[member] = self._made(fresh, piece, member)
        for key in left:
            gone = kept.pieces.pop(key)
            self._take_back(gone, gone.made)

    def _change_members(self, had: _Kept, piece: Piece) -> None:
        if had.made.keys() == piece.members:
            return
        for member in piece.members - had.made.keys():
            had.made[member] = self._made(had, piece, member)
        for member in had.made.keys() - piece.members:
            self._take_back(had, {member: had.made.pop(member)})

    def _made(self, kept: _Kept, piece: Piece, member: str) -> Items:
        if kept.common is None:
            items = self._make(piece, member)
        else:
            known = self._memo.items.get((kept.common, member))
            items = known[1] if known is not None and known[0] == piece.inputs else self._make(piece, member)
            if known is None or known[1] is not items:
                self._memo.items[kept.common, member] = piece.inputs, items
        for item in items:
            if isinstance(item, Share):
                self._share(item)
            else:
                self._put(item)
        return items

    def _make(self, piece: Piece, member: str) -> Items:
        return tuple([item if isinstance(item, Share) else self._encode(item) for item in piece.make(member)])

    def _take_back(self, kept: _Kept, made: Made) -> None:
        for member, items in made.items():
            if kept.common is not None:
                known = self._memo.items.get((kept.common, member))
                if known is not None and known[1] is items:
                    self._memo.items.pop((kept.common, member), None)
            for item in items:
                if isinstance(item, Share):
                    self._unshare(item)
                else:
                    self._remove(item)

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
        place = item.table, item.match
        self._shares[place] = (*self._shares.get(place, ()), item)
        self._stale.add(place)

    def _unshare(self, item: Share) -> None:
        place = item.table, item.match
        left = list(self._shares[place])
        left.remove(item)
        self._shares[place] = tuple(left)
        self._stale.add(place)

    def _render_shares(self) -> None:
        for place in self._stale:
            shares = self._shares[place]
            if place in self._rendered:
                self._remove(self._rendered.pop(place))
            if shares:
                self._rendered[place] = flow = self._rendered_of(place, shares)
                self._put(flow)
            else:
                del self._shares[place]
                self._memo.rendered.pop(place, None)
        self._stale.clear()

    def _rendered_of(self, place: Place, shares: tuple[Share, ...]) -> F:
        known = self._memo.rendered.get(place)
        if known is not None and known[0] == shares:
            return known[1]
        flow = self._encode(self._render(place[0], Shared(place[1], shares)))
        self._memo.rendered[place] = shares, flow
        return flow


class Shared(NamedTuple):
    """All that is asked of one match."""

    match: tuple[tuple[str, str], ...]
    shares: tuple[Share, ...]

    def causes(self) -> Iterator[tuple[Cause, Cause]]:
        """Each share's rule and group."""
        return (share.causes for share in self.shares)
