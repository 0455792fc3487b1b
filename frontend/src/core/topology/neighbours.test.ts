import { describe, expect, it } from "vitest";
import { generate } from "../../bench/generate";
import { layout, nothingKept } from "./layout";
import { type HostData, type Inventory, inventoryOf, type NeighbourData } from "./model";
import { boxesOf } from "./scene";
import { search } from "./search";
import { factsOf, labelOf } from "./words";

const URLS = { vm: "", trace: "", flows: "", networks: "", host: "", packet: "" };
const LEAF: NeighbourData = {
  nic: "eth1",
  protocol: "LLDP",
  system: "leaf-1",
  chassis: "02:00:00:00:0a:01",
  port: "Gi1/0/3",
  description: "to hv1",
  vlan: 200,
  vlans: [200],
  addresses: ["198.51.100.7"],
};
const NONE = { nic: "", uplink: "" };

function map(of: (host: HostData) => Partial<HostData>): Inventory {
  const inventory = inventoryOf(generate({ hosts: 2, guestsPerHost: 1 }));
  for (const [name, host] of inventory.hosts) inventory.hosts.set(name, { ...host, ...of(host) });
  return inventory;
}

function wire(inventory: Inventory): { line: string; known: string } {
  const { scene } = layout("physical", inventory, nothingKept());
  const box = [...boxesOf(scene)].find((one) => one.box.kind === "wire")?.box;
  if (!box) throw new Error("no wire");
  const known = factsOf(inventory, box.id, URLS)?.rows.find(([name]) => name === "Known")?.[1] ?? "";
  return { line: labelOf(inventory, box).line, known };
}

/** The first NIC of a picture: its id and the port's name, where a bridge has it. */
function nicOf(inventory: Inventory): { nic: string; uplink: string } {
  const { scene } = layout("physical", inventory, nothingKept());
  const box = [...boxesOf(scene)].find((one) => one.box.kind === "nic")?.box;
  return box ? { nic: box.id, uplink: box.ports[0] ?? "" } : NONE;
}

describe("neighbours by LLDP", () => {
  it("stand on the NIC that heard them, in its panel and the host's, and are found", () => {
    const { nic, uplink } = nicOf(map(() => ({})));
    const inventory = map(() => ({ lldp: "answers", neighbours: [{ ...LEAF, nic: uplink || "eth9" }] }));
    const { scene } = layout("physical", inventory, nothingKept());
    const box = [...boxesOf(scene)].find((one) => one.box.id === nic)?.box;
    expect(box && labelOf(inventory, box).line).toBe("→ leaf-1 Gi1/0/3");
    const rows = factsOf(inventory, nic, URLS)?.rows.filter(([name]) => name === "Neighbour") ?? [];
    expect(rows.map(([, words]) => words).join()).toContain(
      "leaf-1, port Gi1/0/3 (to hv1), VLAN 200 untagged, 198.51.100.7",
    );
    const host = factsOf(inventory, "host:hv001", URLS)?.rows.find(([name]) => name === "Neighbour")?.[1];
    expect(host).toContain(`${uplink || "eth9"} → leaf-1`);
    expect(search(inventory, "leaf-1").map((found) => found.id)).toContain("host:hv001");
    expect(wire(inventory)).toEqual({
      line: "the hosts' NICs lead to leaf-1, as LLDP tells; what is behind them is not seen",
      known: "its ends, and 1 neighbour of them by LLDP",
    });
  });

  it.each([
    ["", "what happens between the hosts' NICs is not seen"],
    ["absent", "what happens between the hosts' NICs is not seen: no host has an lldpd that could be asked"],
    [
      "answers",
      "what happens between the hosts' NICs is not seen: the lldpds of 2 hosts have heard no neighbour",
    ],
  ])("where none is known the wire says why: %s", (lldp, words) => {
    expect(wire(map(() => ({ lldp, neighbours: [] }))).line).toBe(words);
  });

  it("a host's panel says why its neighbours are not known", () => {
    const rows = factsOf(
      map(() => ({ lldp: "unread", lldp_problem: "no right" })),
      "host:hv001",
      URLS,
    )?.rows;
    expect(rows).toContainEqual(["LLDP", "lldpd could not be asked: no right"]);
    const silent = factsOf(
      map(() => ({})),
      "host:hv001",
      URLS,
    )?.rows.map(([name]) => name);
    expect(silent).not.toContain("LLDP");
  });
});
