import { describe, expect, it } from "vitest";
import { generate, hostNamed } from "../../bench/generate";
import { layout, nothingKept } from "./layout";
import { type Inventory, inventoryOf, type NamespaceData, type NamespaceInterface, put } from "./model";
import { boxesOfTrace, litBy } from "./paths";
import { boxesOf, cardsOf, type Scene } from "./scene";
import { search } from "./search";
import { factsOf, labelOf } from "./words";

const URLS = { vm: "", trace: "", flows: "", networks: "", host: "", packet: "" };

function at(name: string, more: Partial<NamespaceInterface> = {}): NamespaceInterface {
  const told = { kind: "veth", mac: "02:00:00:00:00:05", addresses: ["10.0.0.5/24"], state: "UP", mtu: 1500 };
  return { name, ...told, bridge: "", port: "", port_bridge: "", ...more };
}

const BLUE: NamespaceData = {
  host: "hv001",
  name: "blue",
  process: "dnsmasq",
  interfaces: [
    at("eth0", { port: "to-blue" }),
    at("eth1", { port: "eth1", addresses: [] }),
    at("eth2", { port: "veth7", port_bridge: "br-lan", addresses: ["192.0.2.7/24"], state: "DOWN" }),
  ],
  taps: ["to-blue"],
};

/** A host with a foreign port of br-int, and an uplink that leads into the namespace too. */
function world(hosts = 3, guestsPerHost = 2): Inventory {
  const inventory = inventoryOf(generate({ hosts, guestsPerHost }));
  const host = inventory.hosts.get("hv001") ?? hostNamed("hv001", 0);
  const [first] = host.bridges[0]?.ports ?? [];
  if (!first) throw new Error("no port");
  const veth = { ...first, kind: "veth", remote_ip: "" };
  const bridges = host.bridges.map((bridge) =>
    bridge.name === "br-int"
      ? { ...bridge, ports: [...bridge.ports, { ...veth, name: "to-blue", foreign: true }] }
      : { ...bridge, ports: [{ ...veth, name: "eth1" }] },
  );
  put(inventory, "host:hv001", { ...host, bridges, netns: "read" });
  return inventory;
}

function standing(scene: Scene): Map<string, string> {
  const found = new Map<string, string>();
  for (const { card, box } of boxesOf(scene))
    found.set(box.id, [card.x + box.x, card.y + box.y, box.w, box.h].join());
  return found;
}

describe("a network namespace", () => {
  it("stands among the guests, cabled to its ports, and nothing else moves when it comes and goes", () => {
    const inventory = world();
    const first = layout("physical", inventory, nothingKept());
    const before = standing(first.scene);
    put(inventory, "namespace:hv001/blue", BLUE);
    const { scene, kept } = layout("physical", inventory, first.kept);
    const after = standing(scene);
    expect([...before].filter(([id, place]) => after.get(id) !== place)).toEqual([]);
    expect([...after.keys()].filter((id) => !before.has(id))).toEqual(["namespace:hv001/blue"]);
    const card = scene.cards.find((one) => one.id === "host:hv001");
    const cables = card?.wires.filter((wire) => wire.from === "namespace:hv001/blue").map((wire) => wire.to);
    expect(cables?.sort()).toEqual(["port:hv001/eth1", "port:hv001/to-blue"]);
    put(inventory, "namespace:hv001/blue", null);
    expect(standing(layout("physical", inventory, kept).scene)).toEqual(before);
  });

  it.each([
    [1, 0],
    [3, 3],
    [2, 20],
  ])("lies over no other box, and is the same in any order (%d hosts, %d guests each)", (hosts, guests) => {
    const inventory = world(hosts, guests);
    const other = world(hosts, guests);
    const spaces = ["blue", "green", "red"].map((name): [string, NamespaceData] => [
      name,
      { ...BLUE, name, taps: name === "blue" ? BLUE.taps : [] },
    ]);
    for (const [name, data] of spaces) put(inventory, `namespace:hv001/${name}`, data);
    for (const [name, data] of spaces.reverse()) put(other, `namespace:hv001/${name}`, data);
    const { scene } = layout("physical", inventory, nothingKept());
    expect(standing(layout("physical", other, nothingKept()).scene)).toEqual(standing(scene));
    for (const card of cardsOf(scene))
      for (const [index, a] of card.boxes.entries())
        for (const b of card.boxes.slice(index + 1))
          expect(a.x < b.x + b.w && b.x < a.x + a.w && a.y < b.y + b.h && b.y < a.y + a.h, b.id).toBe(false);
  });

  it("that nothing leads into is no box, and is found all the same", () => {
    const inventory = world();
    put(inventory, "namespace:hv001/alone", { ...BLUE, name: "alone", interfaces: [at("dummy0")], taps: [] });
    const { scene } = layout("physical", inventory, nothingKept());
    expect([...boxesOf(scene)].map(({ box }) => box.id)).not.toContain("namespace:hv001/alone");
    expect(search(inventory, "alone").map((one) => one.id)).toEqual(["namespace:hv001/alone"]);
    expect(factsOf(inventory, "namespace:hv001/alone", URLS)?.title).toBe("alone");
  });

  it("is told by its box, its panel, its ports' and its host's, and is found by name, address and MAC", () => {
    const inventory = world();
    put(inventory, "namespace:hv001/blue", BLUE);
    const { scene } = layout("physical", inventory, nothingKept());
    const box = [...boxesOf(scene)].find((one) => one.box.id === "namespace:hv001/blue")?.box;
    expect(box && labelOf(inventory, box)).toMatchObject({
      title: "blue",
      line: "10.0.0.5/24",
      foreign: true,
    });
    const facts = factsOf(inventory, "namespace:hv001/blue", URLS);
    expect(facts?.kind).toBe("Network namespace");
    expect(facts?.rows).toContainEqual(["eth0", "10.0.0.5/24, 02:00:00:00:00:05"]);
    expect(facts?.rows).toContainEqual(["Cabled to", "veth7, in the Linux bridge br-lan"]);
    expect(facts?.rows).toContainEqual(["eth2", "192.0.2.7/24, 02:00:00:00:00:05, down"]);
    expect(facts?.commands).toEqual(["ip netns exec blue ip -d address"]);
    const rows = (id: string): Map<string, string> => new Map(factsOf(inventory, id, URLS)?.rows);
    expect(rows("port:hv001/eth1").get("Far end")).toBe("namespace blue, interface eth1");
    expect(rows("port:hv001/to-blue").get("Guest")).toBe("blue");
    expect(rows("host:hv001").get("Namespaces")).toBe("blue");
    for (const words of ["blu", "192.0.2.7", "02:00:00:00:00:05", "to-blue"])
      expect(search(inventory, words).map((one) => one.id)).toContain("namespace:hv001/blue");
  });

  it("lights with its cables, and a trace into it is drawn to it", () => {
    const inventory = world();
    put(inventory, "namespace:hv001/pid 77", { ...BLUE, name: "pid 77" });
    const { scene } = layout("physical", inventory, nothingKept());
    const lit = litBy(inventory, scene, "namespace:hv001/pid 77");
    for (const id of ["port:hv001/to-blue", "port:hv001/eth1", "bridge:hv001/br-int"])
      expect(lit).toContain(id);
    const hops = [
      { kind: "bridge", host: "hv001", object: "br-int" },
      { kind: "veth", host: "hv001", object: "to-blue" },
      { kind: "guest_nic", host: "hv001", object: "pid 77 eth0" },
    ];
    expect(boxesOfTrace(scene, inventory, hops)).toEqual([
      "bridge:hv001/br-int",
      "port:hv001/to-blue",
      "namespace:hv001/pid 77",
    ]);
    const process = factsOf(inventory, "namespace:hv001/pid 77", URLS);
    expect(process?.commands).toEqual(["nsenter -t 77 -n ip -d address"]);
  });

  it("that could not be read is said with its reason", () => {
    const inventory = world();
    const host = inventory.hosts.get("hv001");
    const words = (): string => new Map(factsOf(inventory, "host:hv001", URLS)?.rows).get("Namespaces") ?? "";
    expect(words()).toBe("none that its cables lead into");
    put(inventory, "host:hv001", { ...host, netns: "unread", netns_problem: "it is another machine" });
    expect(words()).toBe("could not be read: it is another machine");
    put(inventory, "namespace:hv001/blue", BLUE);
    expect(words()).toBe("blue (could not be read: it is another machine)");
  });
});
