import { expect, it } from "vitest";
import { ConsoleLink, type ConsoleState, type TicketAnswer, type Wire } from "./console";

class FakeWire implements Wire {
  binaryType = "";
  bufferedAmount = 0;
  sent: (string | Uint8Array)[] = [];
  onopen: Wire["onopen"] = null;
  onclose: Wire["onclose"] = null;
  onmessage: Wire["onmessage"] = null;
  send(data: string | Uint8Array): void {
    this.sent.push(data);
  }
  close(): void {}
  say(value: unknown): void {
    this.onmessage?.(new MessageEvent("message", { data: JSON.stringify(value) }));
  }
  bytes(length: number): void {
    this.onmessage?.(new MessageEvent("message", { data: new ArrayBuffer(length) }));
  }
  end(code: number): void {
    this.onclose?.({ code } as CloseEvent);
  }
}

const PEN = { mine: true, may_write: true, writer: "alice", people: ["alice"] };

function stage(answers: (TicketAnswer | Error)[] = []) {
  const wires: FakeWire[] = [];
  const due: { callback: () => void; delayMs: number }[] = [];
  const states: [ConsoleState, string][] = [];
  const taken: (() => void)[] = [];
  const link = new ConsoleLink(
    {
      ticket: async () => {
        const answer = answers.shift() ?? { ticket: `t${wires.length}`, socket: "/ws" };
        if (answer instanceof Error) throw answer;
        return answer;
      },
      open: () => {
        const wire = new FakeWire();
        wires.push(wire);
        return wire;
      },
      later: (callback, delayMs) => void due.push({ callback, delayMs }),
    },
    {
      state: (state, words) => void states.push([state, words]),
      pen: () => undefined,
      scrollback: () => undefined,
      skipped: () => undefined,
      show: (_data, told) => void taken.push(told),
    },
  );
  const opened = async (): Promise<FakeWire> => {
    await link.connect();
    const wire = wires.at(-1) as FakeWire;
    wire.onopen?.(new Event("open"));
    wire.say({ pen: PEN });
    return wire;
  };
  return { link, wires, due, states, taken, opened };
}

const settle = async (): Promise<void> => {
  for (let turn = 0; turn < 5; turn += 1) await Promise.resolve();
};

it("shows its ticket first, in a message and not in the address", async () => {
  const { opened, states } = stage();
  const wire = await opened();
  expect(wire.sent).toEqual([JSON.stringify({ ticket: "t0" })]);
  expect(states.at(-1)).toEqual(["open", ""]);
});

it("acknowledges what the terminal took, not what came", async () => {
  const { opened, taken } = stage();
  const wire = await opened();
  wire.bytes(40_000);
  expect(wire.sent).toHaveLength(1);
  taken[0]?.();
  expect(wire.sent[1]).toBe(JSON.stringify({ ack: 40_000 }));
});

it("gathers small acknowledgements", async () => {
  const { opened, taken } = stage();
  const wire = await opened();
  for (let turn = 0; turn < 10; turn += 1) {
    wire.bytes(4000);
    taken[turn]?.();
  }
  expect(wire.sent.slice(1)).toEqual([JSON.stringify({ ack: 36_000 })]);
});

it("comes back after a loss with a new ticket and growing pauses", async () => {
  const { opened, wires, due, states } = stage([{ ticket: "a", socket: "/ws" }, new Error("away")]);
  (await opened()).end(1006);
  expect(states.at(-1)).toEqual(["lost", "The connection was lost."]);
  due[0]?.callback();
  await settle();
  due[1]?.callback();
  await settle();
  wires[1]?.onopen?.(new Event("open"));
  expect(due.map((one) => one.delayMs)).toEqual([500, 1000]);
  expect(wires[1]?.sent).toEqual([JSON.stringify({ ticket: "t1" })]);
});

it("does not come back where the server says no", async () => {
  for (const code of [4400, 4401, 4403, 4404, 4429]) {
    const { opened, due, states } = stage();
    const wire = await opened();
    wire.say({ closed: "No.", code });
    wire.end(code);
    expect(due).toEqual([]);
    expect(states.at(-1)).toEqual(["ended", "No."]);
  }
});

it("looks after a guest that is off without a word, and at once when it is told", async () => {
  const { link, opened, due, states, wires } = stage([{ ticket: "a", socket: "/ws" }, { off: "Off." }]);
  const wire = await opened();
  wire.say({ closed: "The guest is off.", code: 4409 });
  wire.end(4409);
  due[0]?.callback();
  await settle();
  expect(states.slice(-2).map(([state]) => state)).toEqual(["off", "off"]);
  await link.connect();
  expect(wires).toHaveLength(2);
  due[1]?.callback(); // the pause of before opens no third
  await settle();
  expect(wires).toHaveLength(2);
});

it("sends a long paste in pieces, no faster than the socket takes them", async () => {
  const { link, opened, due } = stage();
  const wire = await opened();
  wire.bufferedAmount = 100_000;
  link.send(new Uint8Array(50_000));
  expect(wire.sent).toHaveLength(1);
  wire.bufferedAmount = 0;
  due[0]?.callback();
  const pieces = wire.sent.slice(1) as Uint8Array[];
  expect(pieces.map((piece) => piece.length)).toEqual([16_384, 16_384, 16_384, 848]);
});

it("sends nothing while it is not open", async () => {
  const { link, wires } = stage();
  link.send(new Uint8Array(3));
  link.take();
  expect(wires).toHaveLength(0);
});
