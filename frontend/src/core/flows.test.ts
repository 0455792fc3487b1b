import { expect, it } from "vitest";
import { isHit, matchesQuery, parseQuery } from "./flow-query";
import { type Flow, FlowIndex, flowLine } from "./flows";
import type { LiveEvent } from "./live";

const flow = (over: Partial<Flow> = {}): Flow => ({
  table: 60, table_name: "conntrack_ingress", priority: 100, match: "ct_state=+est+trk,tcp,reg1=0x1001,nw_dst=10.20.0.0/24",
  actions: "set_field:0x1->reg2,output:7", cookie: "0x4853020000000009", cause: "Port of web-1", cause_url: "/vms/1/",
  foreign: false, packets: 0, bytes: 0, ...over,
}); // biome-ignore format: one flow on few lines
const changed = (object: string, data: Flow): LiveEvent => ({
  seq: 1, at: "", topic: "flows:hv1/br-int", type: "flow.changed", object, data,
}); // biome-ignore format: as above
const gone = (object: string): LiveEvent => ({ ...changed(object, flow()), type: "flow.deleted", data: {} });
const indexOf = (...flows: Flow[]): FlowIndex => {
  const index = new FlowIndex();
  index.reset(Object.fromEntries(flows.map((one, at) => [`k${at}`, one])), 0);
  return index;
};

it.each([
  ["table=60,tcp,nw_dst=10.20.0.11", true],
  ["table=conntrack_ingress reg1=4097", true],
  ["nw_dst=10.20.1.1", false],
  ["nw_dst=10.0.0.0/8", true],
  ["ct_state=+est", true],
  ["ct_state=-est", false],
  ["ip", true],
  ["ipv6", false],
  ["udp or web-1", true],
  ["udp,web-1", false],
  ["!foreign actions=set_field:0x1->reg2,output:7", true],
  ["cookie=0x4853000000000000/0xffff000000000000", true],
  ["out_port=7", true],
  ["out_port=77", false],
  ["drop", false],
  ["n_packets=0", true],
  ["", true],
])("finds by %s: %s", (text, found) => {
  expect(matchesQuery(indexOf(flow()).rows[0] as never, parseQuery(text))).toBe(found);
});

it("marks the parts of a match that were asked for", () => {
  const query = parseQuery("tcp,reg1=4097");
  expect(["ct_state=+est+trk", "tcp", "reg1=0x1001"].map((part) => isHit(query, part))).toEqual([
    false,
    true,
    true,
  ]);
});

it("keeps rows in order while they come, change and go, and remembers what changed", () => {
  const index = indexOf(flow({ priority: 50 }), flow({ table: 0 }));
  index.apply(
    [
      changed("new", flow({ priority: 70 })),
      changed("k0", flow({ priority: 50, actions: "drop" })),
      gone("k1"),
    ],
    9,
  );
  expect(index.rows.map((row) => [row.key, row.mark])).toEqual([
    ["new", "add"],
    ["k0", "mod"],
  ]);
  expect([...index.changes.values()].map((row) => row.mark)).toEqual(["add", "mod", "del"]);
});

it("gives the same rows from events as from a snapshot", () => {
  const index = indexOf();
  const state: Record<string, Flow> = {};
  for (let at = 0; at < 300; at += 1) {
    const key = `k${(at * 37) % 50}`;
    const one = flow({ priority: (at * 7) % 13, match: key, table: (at * 37) % 3 });
    if (at % 3 === 2) {
      delete state[key];
      index.apply([gone(key)], at);
    } else {
      index.apply([gone(key), changed(key, one)], at);
      state[key] = one;
    }
  }
  const whole = new FlowIndex();
  whole.reset(state, 0);
  expect(index.rows.map((row) => row.flow)).toEqual(whole.rows.map((row) => row.flow));
});

it("tells a rate while packets pass, and none when they stop", () => {
  const index = indexOf(flow());
  index.apply([changed("k0", flow({ packets: 500 }))], 1000);
  expect(index.rows[0]?.rate).toBe(500);
  expect(index.settle(2000)).toBe(false);
  expect(index.settle(4000)).toBe(true);
  expect(index.rows[0]?.rate).toBe(0);
});

it("writes a flow as ovs-ofctl does", () => {
  expect(flowLine(flow({ match: "", actions: "" }))).toBe(
    " cookie=0x4853020000000009, table=60, n_packets=0, n_bytes=0, priority=100 actions=drop",
  );
});
