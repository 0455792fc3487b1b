import { expect, it } from "vitest";
import type { LiveEvent, Snapshot } from "./live";
import { type Change, LiveSocket, type Wire } from "./socket";

class FakeWire implements Wire {
  sent: string[] = [];
  onopen: Wire["onopen"] = null;
  onclose: Wire["onclose"] = null;
  onmessage: Wire["onmessage"] = null;
  send(text: string): void {
    this.sent.push(text);
  }
  close(): void {}
  say(value: unknown): void {
    this.onmessage?.(new MessageEvent("message", { data: JSON.stringify(value) }));
  }
}

function stage(snapshots: Snapshot[]) {
  const wires: FakeWire[] = [];
  const pauses: number[] = [];
  const due: (() => void)[] = [];
  const socket = new LiveSocket({
    open: () => {
      const wire = new FakeWire();
      wires.push(wire);
      return wire;
    },
    snapshot: async () => snapshots.shift() ?? { seq: 0, state: {} },
    later: (callback, delayMs) => {
      pauses.push(delayMs);
      due.push(callback);
    },
  });
  return { socket, wires, pauses, due };
}

const settle = async (): Promise<void> => {
  for (let turn = 0; turn < 5; turn += 1) await Promise.resolve();
};
const event = (seq: number, value: number): LiveEvent => ({
  seq,
  at: new Date(seq).toISOString(),
  topic: "t",
  type: "vm.changed",
  object: "vm:1",
  data: value,
});

it("joins when open, and fetches the snapshot again after a gap", async () => {
  const { socket, wires } = stage([
    { seq: 1, state: { "vm:1": 1 } },
    { seq: 5, state: { "vm:1": 5 } },
  ]);
  const seen: Change[] = [];
  socket.join("t", (change) => seen.push(change));
  const wire = wires[0] as FakeWire;
  wire.onopen?.(new Event("open"));
  expect(wire.sent).toEqual(['{"join":"t"}']);
  wire.say({ joined: "t", seq: 1 });
  await settle();
  wire.say(event(2, 2));
  wire.say(event(5, 5));
  await settle();
  expect(seen.map((change) => [change.kind, change.view.state["vm:1"]])).toEqual([
    ["snapshot", 1],
    ["event", 2],
    ["snapshot", 5],
  ]);
});

it("reconnects with a growing pause and joins its topics again", async () => {
  const { socket, wires, pauses, due } = stage([]);
  socket.join("t", () => {});
  for (let round = 0; round < 3; round += 1) {
    wires.at(-1)?.onclose?.(new Event("close") as CloseEvent);
    due.pop()?.();
  }
  expect(pauses).toEqual([250, 500, 1000]);
  expect(socket.status).toBe("reconnecting");
  wires.at(-1)?.onopen?.(new Event("open"));
  expect(wires.at(-1)?.sent).toEqual(['{"join":"t"}']);
  expect(socket.status).toBe("live");
});

it("takes a frame of many messages as if they came one by one", async () => {
  const { socket, wires } = stage([
    { seq: 1, state: { "vm:1": 1 } },
    { seq: 9, state: { "vm:1": 9 } },
  ]);
  const seen: Change[] = [];
  socket.join("t", (change) => seen.push(change));
  const wire = wires[0] as FakeWire;
  wire.onopen?.(new Event("open"));
  wire.say({ joined: "t", seq: 1 });
  await settle();
  wire.say([event(2, 2), event(3, 3), { refused: "u" }, event(4, 4)]);
  expect(seen.map((change) => change.kind)).toEqual(["snapshot", "event", "event", "event"]);
  expect(seen.at(-1)?.view).toMatchObject({ seq: 4, state: { "vm:1": 4 } });
  wire.say([event(5, 5), event(7, 7), event(8, 8)]);
  expect(seen.at(-1)?.view.seq).toBe(5);
  await settle();
  expect(seen.at(-1)).toMatchObject({ kind: "snapshot", view: { seq: 9 } });
});

it("says that it is stale while no event comes through, and fetches afterwards", async () => {
  const { socket, wires } = stage([
    { seq: 1, state: { "vm:1": 1 } },
    { seq: 4, state: { "vm:1": 4 } },
  ]);
  const states: string[] = [];
  const seen: Change[] = [];
  socket.onStatus((status) => states.push(status));
  socket.join("t", (change) => seen.push(change));
  const wire = wires[0] as FakeWire;
  wire.onopen?.(new Event("open"));
  wire.say({ joined: "t", seq: 1 });
  await settle();
  wire.say({ stale: true });
  wire.say([{ lagging: "t" }, { stale: false }]);
  await settle();
  expect(states).toEqual(["connecting", "live", "stale", "live"]);
  expect(seen.at(-1)?.view.state["vm:1"]).toBe(4);
});

it("says that the session was ended, and goes on trying for who logs in elsewhere", () => {
  const { socket, wires, due } = stage([]);
  socket.join("t", () => {});
  wires[0]?.onopen?.(new Event("open"));
  wires[0]?.onclose?.({ code: 4401 } as CloseEvent);
  expect(socket.status).toBe("ended");
  due.pop()?.();
  wires[1]?.onclose?.({ code: 1006 } as CloseEvent);
  expect(socket.status).toBe("ended");
  due.pop()?.();
  wires[2]?.onopen?.(new Event("open"));
  expect(socket.status).toBe("live");
});
