/** What was dropped for some ports, by reason, as `/api/v1/ports/{uuid}/drops` tells it: summed, with what is new. */

export interface PortDrops {
  reasons: { reason: string; words: string; packets: number; last_at: string }[];
}

export interface DropLine {
  reason: string;
  words: string;
  packets: number;
  /** Since the look before. */
  pps: number;
  lastAt: string;
}

/** The ports' drops together, the latest reason first; `before` are the lines of `gapS` seconds ago. */
export function sumDrops(told: PortDrops[], before: DropLine[], gapS: number): DropLine[] {
  const lines = new Map<string, DropLine>();
  for (const { reason, words, packets, last_at } of told.flatMap((one) => one.reasons)) {
    const line = lines.get(reason) ?? { reason, words, packets: 0, pps: 0, lastAt: "" };
    line.packets += packets;
    if (last_at > line.lastAt) line.lastAt = last_at;
    lines.set(reason, line);
  }
  for (const line of lines.values()) {
    const was = before.find((one) => one.reason === line.reason);
    if (gapS > 0) line.pps = Math.max(0, line.packets - (was?.packets ?? 0)) / gapS;
  }
  return [...lines.values()].sort((one, other) =>
    one.lastAt < other.lastAt ? 1 : one.lastAt > other.lastAt ? -1 : one.reason.localeCompare(other.reason),
  );
}
