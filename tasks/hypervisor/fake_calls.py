"""What the parts of the fake hypervisor share: the calls that were made, and a host that answers none."""

from __future__ import annotations

from dataclasses import dataclass, field

from tasks.hypervisor.driver import HostUnreachable


@dataclass
class FakeCalls:
    """The names of the calls so far, in order. `is_down` refuses every one."""

    is_down: bool = False
    calls: list[str] = field(default_factory=list)

    def enter(self, call: str) -> None:
        self.calls.append(call)
        if self.is_down:
            raise HostUnreachable("the host's libvirt does not answer: connection refused")
