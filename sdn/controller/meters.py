"""A switch's meters as its flows need them: made before the flows that name them, deleted after the last is gone, for a
switch deletes a meter's flows with it. Other people's meters, those outside of our range, are left alone.
"""

from __future__ import annotations

from collections.abc import Mapping

from sdn.model.meter import Meter, is_our_meter
from sdn.transport.meters import ADD, DELETE, MODIFY
from sdn.transport.openflow import Channel


class MeterKeeper:
    """Knows what meters the switch of one channel has; another channel is asked first."""

    def __init__(self) -> None:
        self._channel: Channel | None = None
        self._there: dict[int, Meter] = {}

    def forget(self) -> None:
        """Ask the switch again: somebody may have changed what it has."""
        self._channel = None

    async def before(self, channel: Channel, wanted: Mapping[int, Meter]) -> None:
        """Make and change meters. Raises ChannelError."""
        there = await self._look(channel)
        changes = [
            (MODIFY if meter_id in there else ADD, meter)
            for meter_id, meter in sorted(wanted.items())
            if there.get(meter_id) != meter
        ]
        await self._change(channel, changes)

    async def after(self, channel: Channel, wanted: Mapping[int, Meter]) -> None:
        """What differs still, and those that no flow names any more."""
        await self.before(channel, wanted)
        await self._change(
            channel, [(DELETE, meter) for one, meter in sorted(self._there.items()) if one not in wanted]
        )

    async def _look(self, channel: Channel) -> dict[int, Meter]:
        if self._channel is not channel:
            self._there = {meter.id: meter for meter in await channel.dump_meters() if is_our_meter(meter.id)}
            self._channel = channel
        return self._there

    async def _change(self, channel: Channel, changes: list[tuple[int, Meter]]) -> None:
        if not changes:
            return
        self._channel = None  # until it is known to be done
        await channel.change_meters(changes)
        self._channel = channel
        for command, meter in changes:
            if command == DELETE:
                self._there.pop(meter.id, None)
            else:
                self._there[meter.id] = meter
