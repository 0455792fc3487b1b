"""How much of a quota is in use, and what would be added."""

from __future__ import annotations

from dataclasses import dataclass

from portal.config.units import decimals


@dataclass(frozen=True)
class QuotaBar:
    label: str
    used: float
    adds: float
    limit: float
    unit: str

    @property
    def after(self) -> str:
        return _shown(self.used + self.adds)

    @property
    def now(self) -> str:
        return _shown(self.used)

    @property
    def most(self) -> str:
        return _shown(self.limit)

    @property
    def left(self) -> str:
        return _shown(max(0, self.limit - self.used))

    @property
    def used_percent(self) -> str:
        return f"{min(100, 100 * self.used / self.limit) if self.limit else 100:.1f}"

    @property
    def adds_percent(self) -> str:
        return f"{max(0, min(100 - float(self.used_percent), 100 * self.adds / self.limit if self.limit else 0)):.1f}"


def _shown(value: float) -> str:
    return decimals(f"{round(value, 2):g}")
