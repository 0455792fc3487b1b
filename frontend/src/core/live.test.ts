import { describe, expect, it } from "vitest";
import { type LiveEvent, replay, type Snapshot, viewOf } from "./live";

/** A server: its history is a list of events, its snapshot at n is what n events made. */
function history(seed: number, length: number): LiveEvent[] {
  let random = seed;
  const next = (below: number): number => {
    random = (random * 1103515245 + 12345) % 2147483648;
    return Math.floor((random / 2147483648) * below);
  };
  return Array.from({ length }, (_, at) => {
    const gone = next(4) === 0;
    return {
      seq: at + 1,
      at: new Date(1_000_000 + at * 10).toISOString(),
      topic: "team:payments",
      type: gone ? "vm.deleted" : "vm.changed",
      object: `vm:${next(5)}`,
      data: gone ? {} : { value: next(100) },
    };
  });
}

function snapshotAt(events: LiveEvent[], n: number): Snapshot {
  const state: Record<string, unknown> = {};
  for (const event of events.slice(0, n)) {
    if (event.type.endsWith(".deleted")) delete state[event.object];
    else state[event.object] = event.data;
  }
  return { seq: n, state };
}

describe("live topics", () => {
  it("make snapshot(m) of snapshot(n) and the events between, for any history", () => {
    for (let seed = 1; seed <= 200; seed += 1) {
      const events = history(seed, 40);
      const n = seed % 30;
      const m = n + (seed % 11);
      const { view, outcome } = replay(viewOf(snapshotAt(events, n)), events.slice(n, m));
      expect(outcome).toBe("applied");
      expect({ seq: view.seq, state: view.state }).toEqual(snapshotAt(events, m));
    }
  });

  it("take no harm from events that come twice or that the snapshot had", () => {
    const events = history(7, 20);
    const { view } = replay(viewOf(snapshotAt(events, 8)), [...events.slice(4, 15), ...events.slice(6, 15)]);
    expect(view.state).toEqual(snapshotAt(events, 15).state);
  });

  it("call a missing number a gap and keep the view as it was", () => {
    const events = history(3, 10);
    const before = viewOf(snapshotAt(events, 4));
    const result = replay(before, [events[5] as LiveEvent]);
    expect(result.outcome).toBe("gap");
    expect(result.view).toBe(before);
  });

  it("call a lower number with a later time a gap: the topic began anew", () => {
    const events = history(3, 10);
    const { view } = replay(viewOf(snapshotAt(events, 4)), events.slice(4, 8));
    const reborn = { ...(events[0] as LiveEvent), at: new Date(9_000_000).toISOString() };
    expect(replay(view, [reborn]).outcome).toBe("gap");
  });
});
