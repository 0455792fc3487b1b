import { describe, expect, it } from "vitest";
import { generate, hostName } from "../../bench/generate";
import { lookOf, searchOf } from "./address";
import { fitted, panned, showing, toPicture, toScreen, visible, zoomed } from "./camera";
import { detailAt } from "./detail";
import { layout, nothingKept } from "./layout";
import { cableRate, thingOf } from "./lookup";
import { inventoryOf, put, rateOf } from "./model";
import { boxesOfTrace, litBy } from "./paths";
import { hit, neighbour } from "./pointing";
import { boxesOf, rectOf } from "./scene";
import { search } from "./search";
import { factsOf, labelOf } from "./words";

const URLS = {
  vm: "/vms/{uuid}/",
  trace: "/trace/",
  flows: "/flows/HOST/BRIDGE/",
  networks: "/networks/",
  host: "",
  packet: "",
};
const inventory = inventoryOf(generate({ hosts: 2, guestsPerHost: 2 }));
const { scene } = layout("physical", inventory, nothingKept());

function middle(id: string): [number, number] {
  const rect = rectOf(scene, id);
  if (!rect) throw new Error(`nothing is called ${id}`);
  return [rect.x + rect.w / 2, rect.y + rect.h / 2];
}

describe("pointing", () => {
  it("hits every box at its middle, and its card beside it", () => {
    for (const { box } of boxesOf(scene)) expect(hit(scene, "full", ...middle(box.id))).toBe(box.id);
    expect(hit(scene, "full", -50, -5000)).toBe("");
    expect(hit(scene, "folded", ...middle("vm:g0"))).toBe("host:hv001");
  });

  it("hits a cable by its line", () => {
    const mesh = scene.cables.find((cable) => cable.id === "mesh:hv001|hv002");
    expect(hit(scene, "full", mesh?.label?.[0] ?? 0, mesh?.label?.[1] ?? 0)).toBe("mesh:hv001|hv002");
  });

  it("walks to the neighbour in a direction, and back", () => {
    expect(neighbour(scene, "full", "", "right")).toBe("vm:g0");
    const right = neighbour(scene, "full", "vm:g0", "right");
    expect(right).toBe("vm:g1");
    expect(neighbour(scene, "full", right, "left")).toBe("vm:g0");
    const down = neighbour(scene, "full", "vm:g0", "down");
    expect(["others:hv001", "port:hv001/vnet0"]).toContain(down);
    expect(neighbour(scene, "full", "vm:g0", "left")).toBe("");
  });

  it("reaches every box by arrows alone", () => {
    const all = new Set([...boxesOf(scene)].map(({ box }) => box.id));
    const reached = new Set<string>();
    const queue = [neighbour(scene, "full", "", "right")];
    for (let id = queue.pop(); id; id = queue.pop()) {
      if (reached.has(id)) continue;
      reached.add(id);
      for (const direction of ["left", "right", "up", "down"] as const) {
        const next = neighbour(scene, "full", id, direction);
        if (next) queue.push(next);
      }
    }
    expect([...all].filter((id) => !reached.has(id))).toEqual([]);
  });
});

describe("the camera", () => {
  it("keeps the point below the pointer when zooming, and moves with the hand", () => {
    const camera = { x: 10, y: -20, z: 0.5 };
    const [x, y] = toPicture(camera, 300, 200);
    expect(toScreen(zoomed(camera, 1.7, 300, 200), x, y)).toEqual([expect.closeTo(300), expect.closeTo(200)]);
    expect(toScreen(panned(camera, 30, -40), x, y)).toEqual([expect.closeTo(330), expect.closeTo(160)]);
  });

  it("shows all, and moves to what is outside only", () => {
    const camera = fitted(scene.bounds, 1000, 700);
    for (const card of scene.cards) expect(visible(camera, card, 1000, 700)).toBe(true);
    const away = { x: 5000, y: 5000, z: 1 };
    const rect = rectOf(scene, "vm:g0") ?? scene.bounds;
    expect(visible(showing(away, rect, 1000, 700), rect, 1000, 700)).toBe(true);
    expect(showing(camera, rect, 1000, 700)).toEqual(camera);
  });

  it("folds many hosts when they are small, and groups very many", () => {
    const many = layout(
      "physical",
      inventoryOf(generate({ hosts: 100, guestsPerHost: 1 })),
      nothingKept(),
    ).scene;
    expect([1, 0.4, 0.15, 0.05].map((z) => detailAt(many, z))).toEqual([
      "full",
      "plain",
      "folded",
      "grouped",
    ]);
    expect([1, 0.3, 0.2].map((z) => detailAt(scene, z))).toEqual(["full", "plain", "plain"]);
  });
});

describe("the address", () => {
  it.each([
    "",
    "?view=logical",
    "?view=table&off=overlay,underlay&sel=vm:g0",
    "?sel=port:hv1/vnet3&trace=7c9e6679-7425-40de-944b-e07fc1f90ae7&at=-12,340,0.5",
  ])("says what is looked at: %s", (text) => {
    const look = lookOf(text);
    expect(lookOf(searchOf(look))).toEqual(look);
  });

  it("takes junk for nothing", () => {
    const look = lookOf("?view=<b>&off=guest,nope&at=1,NaN,0&sel=");
    expect(look).toEqual({
      view: "physical",
      off: new Set(["guest"]),
      selected: "",
      trace: "",
      when: "",
      camera: null,
    });
  });

  it("keeps the instant that the map is of", () => {
    expect(searchOf(lookOf("?when=2026-11-27T07:01:00.5%2B00:00"))).toBe(
      "?when=2026-11-27T07:01:00.5%2B00:00",
    );
  });
});

describe("search", () => {
  it.each([
    ["vm-3", "vm:g3"],
    ["10.20.0.0", "vm:g0"],
    ["52:54:00:00:00:02", "vm:g2"],
    ["vnet1", "vm:g1"],
    ["4098", "network:n1"],
    ["hv002", "host:hv002"],
    ["192.0.2.2", "host:hv002"],
    ["VXLAN0", "port:hv001/vxlan0"],
  ])("finds %s", (text, id) => {
    expect(search(inventory, text)[0]?.id).toBe(id);
  });

  it("finds nothing for nothing", () => {
    expect(search(inventory, "  ")).toEqual([]);
    expect(search(inventory, "no such thing")).toEqual([]);
  });
});

describe("paths", () => {
  it("light a guest's whole way to the wire, and no other guest", () => {
    const lit = litBy(inventory, scene, "vm:g0");
    for (const id of [
      "port:hv001/vnet0",
      "bridge:hv001/br-int",
      "port:hv001/vxlan0",
      "port:hv001/eth0",
      "wire:underlay",
    ])
      expect(lit.has(id), id).toBe(true);
    expect(lit.has("vm:g1")).toBe(false);
    expect(lit.has("bridge:hv002/br-int")).toBe(false);
  });

  it("follow a trace over both hosts", () => {
    const hops = [
      ["guest_nic", "hv001", "vm-0 eth0"],
      ["backend", "hv001", "qemu"],
      ["tap", "hv001", "vnet0"],
      ["bridge", "hv001", "br-int"],
      ["tunnel_encap", "hv001", "vxlan0"],
      ["underlay_nic", "hv001", "br-ex"],
      ["underlay", "", "underlay"],
      ["underlay_nic", "hv002", "br-ex"],
      ["tunnel_decap", "hv002", "vxlan0"],
      ["bridge", "hv002", "br-int"],
      ["tap", "hv002", "vnet2"],
      ["guest_nic", "hv002", "vm-2 eth0"],
    ].map(([kind = "", host = "", object = ""]) => ({ kind, host, object }));
    expect(boxesOfTrace(scene, inventory, hops)).toEqual([
      "vm:g0",
      "port:hv001/vnet0",
      "bridge:hv001/br-int",
      "port:hv001/vxlan0",
      "port:hv001/eth0",
      "wire:underlay",
      "port:hv002/eth0",
      "port:hv002/vxlan0",
      "bridge:hv002/br-int",
      "port:hv002/vnet2",
      "vm:g2",
    ]);
  });
});

describe("words", () => {
  it("tell facts and commands of every box, and never fail on one that is gone", () => {
    for (const { box } of boxesOf(scene)) {
      expect(labelOf(inventory, box).title, box.id).not.toBe("");
      expect(factsOf(inventory, box.id, URLS), box.id).not.toBeNull();
    }
    expect(factsOf(inventory, "vm:gone", URLS)).toBeNull();
    expect(factsOf(inventory, "", URLS)).toBeNull();
    expect(thingOf(inventory, "mesh:hv001|gone")).toBeNull();
  });

  it("lead from a VM to its page and a trace, and operators from a port to a packet and a page", () => {
    const facts = factsOf(inventory, "vm:g0", URLS);
    expect(facts?.links.map((link) => link.url)).toEqual([
      "/vms/g0/",
      `/trace/?source=${inventory.guests.get("vm:g0")?.nics[0]?.uuid}`,
    ]);
    const operators = {
      ...URLS,
      trace: "",
      host: "/hosts/HOST/",
      packet: "/flows/HOST/BRIDGE/trace/",
    };
    const nic = inventory.guests.get("vm:g0")?.nics[0];
    const given = new URLSearchParams({ in_port: "vnet0", dl_src: nic?.mac ?? "" });
    if (nic?.addresses[0]) given.set("source", nic.addresses[0]);
    expect(factsOf(inventory, "port:hv001/vnet0", operators)?.links.map((link) => link.url)).toEqual([
      `/flows/hv001/br-int/trace/?${given}`,
      "/vms/g0/",
      "/flows/hv001/br-int/",
    ]);
    expect(factsOf(inventory, "host:hv001", operators)?.links[0]?.url).toBe("/hosts/hv001/");
  });

  it("say of a tap whose link is down that it is, on it, in its panel and at its guest", () => {
    const other = inventoryOf(generate({ hosts: 1, guestsPerHost: 1 }));
    const guest = other.guests.get("vm:g0");
    if (!guest) throw new Error("no guest");
    put(other, "vm:g0", { ...guest, nics: guest.nics.map((nic) => ({ ...nic, link: "down" })) });
    const boxes = [...boxesOf(layout("physical", other, nothingKept()).scene)].map(({ box }) => box);
    const tap = boxes.find((box) => box.kind === "tap");
    if (!tap) throw new Error("no tap");
    expect(labelOf(other, tap)).toMatchObject({ line: "link down", down: true });
    expect(factsOf(other, tap.id, URLS)).toMatchObject({ state: "link down", good: false });
    const known = boxes.find((box) => box.id === "vm:g0");
    expect(known && labelOf(other, known).down).toBe(true);
  });

  it("quote what a shell would take apart", () => {
    const other = inventoryOf(generate({ hosts: 1, guestsPerHost: 0 }));
    put(other, "foreign:hv001/a b;rm", {
      name: "a b;rm",
      uuid: "u",
      host: "hv001",
      state: "running",
      taps: [],
    });
    expect(factsOf(other, "foreign:hv001/a b;rm", URLS)?.commands[0]).toBe("virsh dominfo 'a b;rm'");
  });
});

describe("traffic", () => {
  it("is silent when it is old, and of no pair among three hosts", () => {
    const busy = inventoryOf(generate({ hosts: 2, guestsPerHost: 1 }));
    for (const at of [0, 1])
      put(busy, `traffic:${hostName(at)}`, { at: 100, ports: { vxlan0: [10, 20, 1000 + at, 2000, 1] } });
    expect(rateOf(busy, "hv001", "vxlan0", 101)).toEqual({ bps: 3000, pps: 30, lost: 1 });
    expect(rateOf(busy, "hv001", "vxlan0", 110).bps).toBe(0);
    const picture = layout("physical", busy, nothingKept()).scene;
    const mesh = picture.cables.find((cable) => cable.id.startsWith("mesh:"));
    if (!mesh) throw new Error("no mesh");
    expect(cableRate(busy, mesh, 101)?.bps).toBe(3001);
    put(busy, "host:third", {
      ...(generate({ hosts: 1, guestsPerHost: 0 })["host:hv001"] as object),
      name: "third",
    });
    expect(cableRate(busy, mesh, 101)).toBeNull();
  });
});
