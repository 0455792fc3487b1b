import { expect, test } from "vitest";
import { measured, observedMarks, probedMarks } from "./lanes";
import { type Hop, layoutOf, type Step, type Trace } from "./trace";

const step = (table: number): Step => ({
  table,
  table_name: `t${table}`,
  priority: 1,
  match: "",
  actions: "",
  cookie: null,
  intent: null,
  note: "",
  changed: {},
  evidence: null,
  flow_key: "",
});
const hop = (kind: string, host: string, more: Partial<Hop> = {}): Hop => ({
  kind,
  layer: kind === "guest_nic" ? "guest" : "host",
  host,
  object: kind,
  detail: "",
  steps: [],
  header_before: {},
  header_after: {},
  header_stack: [],
  latency_us: null,
  latency_error_us: null,
  counters: null,
  commands: [],
  evidence: "",
  measured: true,
  ...more,
});
const trace = (hops: Hop[], more: Partial<Trace> = {}): Trace => ({
  id: "1",
  kind: "predicted",
  direction: "forward",
  packet: {},
  hops,
  verdict: "delivered",
  reason: "",
  started_at: "",
  generation: 1,
  ...more,
});
const tables = [step(0), step(10), step(70)];
const predicted = trace([
  hop("guest_nic", "hv1"),
  hop("tap", "hv1"),
  hop("bridge", "hv1", { steps: tables }),
  hop("tap", "hv1"),
  hop("guest_nic", "hv1"),
]);

test("a probe is seen at the port and at the switch, and not in the guests", () => {
  const probed = trace(
    [
      hop("guest_nic", "hv1", { measured: false }),
      hop("tap", "hv1"),
      hop("bridge", "hv1", { latency_us: 900, latency_error_us: 100 }),
      hop("tap", "hv1"),
      hop("guest_nic", "hv1", { measured: false }),
    ],
    { kind: "probed" },
  );
  const marks = probedMarks(layoutOf(predicted), probed);
  expect(marks.map((mark) => mark.kind)).toEqual(["gap", "measured", "measured", "passed", "gap"]);
  expect(marks[2]).toMatchObject({ from: 3, span: 3, text: "900 µs" });
  expect(marks.at(-1)?.verdict).toBe("delivered");
});

test("where a probe was dropped the lane ends, with the verdict there", () => {
  const probed = trace(
    [hop("guest_nic", "hv1"), hop("tap", "hv1"), hop("bridge", "hv1", { latency_us: 9 })],
    { verdict: "dropped" },
  );
  const marks = probedMarks(layoutOf(predicted), probed);
  expect(marks[2]?.verdict).toBe("dropped");
  expect(marks.slice(3).every((mark) => mark.kind === "gap")).toBe(true);
});

test("a time that may be nothing is told by the most that it can be", () => {
  expect(measured(350, 350)).toBe("< 700 µs");
  expect(measured(2700, 700)).toBe("2.7 ms");
});

test("real traffic is laid over the prediction with its packets a second, and ends where it was dropped", () => {
  const path = [
    hop("tap", "hv1"),
    hop("bridge", "hv1", { steps: [step(0), step(10)] }),
    hop("bridge", "hv2"),
  ];
  const layout = layoutOf(trace(path));
  const seen = trace(
    [path[0], path[1]].filter((one) => one !== undefined),
    { verdict: "dropped" },
  );
  const marks = observedMarks(layout, seen, [null, 4.96]);
  expect(marks.map((mark) => [mark.kind, mark.text, mark.verdict])).toEqual([
    ["passed", "", null],
    ["measured", "5.0/s", "dropped"],
    ["gap", "", null],
  ]);
});
