import { describe, expect, it } from "vitest";
import { generate, guestNumber, hostName, hostNamed } from "../../bench/generate";
import { layout, nothingKept } from "./layout";
import { type Inventory, inventoryOf, put } from "./model";
import { boxesOf, cardsOf, type Scene } from "./scene";

type View = Scene["view"];
const VIEWS: View[] = ["physical", "logical"];
const SIZES: [hosts: number, guests: number][] = [
  [1, 0],
  [2, 1],
  [3, 3],
  [5, 5],
  [9, 4],
  [13, 20],
  [70, 3],
];

function world(hosts: number, guestsPerHost: number): Inventory {
  return inventoryOf(generate({ hosts, guestsPerHost }));
}

/** Where every box stands, by id; the card's own rectangle is not a box. */
function standing(scene: Scene): Map<string, string> {
  const found = new Map<string, string>();
  for (const { card, box } of boxesOf(scene))
    found.set(
      box.id,
      [card.x + box.x, card.y + box.y, box.w, box.h].map((number) => number.toFixed(2)).join(),
    );
  return found;
}

function shuffled(state: Record<string, unknown>, seed: number): Record<string, unknown> {
  let random = seed;
  const next = (): number => {
    random = (random * 1103515245 + 12345) & 0x7fffffff;
    return random;
  };
  return Object.fromEntries(
    Object.entries(state)
      .map((entry): [number, typeof entry] => [next(), entry])
      .sort(([a], [b]) => a - b)
      .map(([, entry]) => entry),
  );
}

describe.each(VIEWS)("the %s view", (view) => {
  it.each(SIZES)(
    "draws the same inventory the same way, whatever the order it came in (%d hosts, %d guests each)",
    (hosts, guests) => {
      const state = generate({ hosts, guestsPerHost: guests });
      const first = layout(view, inventoryOf(state), nothingKept());
      const second = layout(view, inventoryOf(shuffled(state, 7)), nothingKept());
      expect(second.scene).toEqual(first.scene);
      const again = layout(view, inventoryOf(state), first.kept);
      expect(again.scene).toEqual(first.scene);
    },
  );

  it.each(SIZES.filter(([, guests]) => guests > 0))(
    "moves nothing else when a guest comes (%d hosts, %d guests each)",
    (hosts, guests) => {
      const inventory = world(hosts, guests);
      let { scene, kept } = layout(view, inventory, nothingKept());
      for (let more = 0; more < 3; more++) {
        const before = standing(scene);
        put(inventory, `vm:new${more}`, { ...guestNumber(99_000 + more, hostName(0), 0), since: 1e9 + more });
        ({ scene, kept } = layout(view, inventory, kept));
        const after = standing(scene);
        const moved = [...before].filter(([id, place]) => after.get(id) !== place && !id.startsWith("taps:"));
        if (scene.cards.length > 0 && more < 3) expect(moved.map(([id]) => id)).toEqual([]);
        expect(after.has(`vm:new${more}`)).toBe(true);
      }
    },
  );

  it("moves nothing else when a guest goes, and gives its place to the next one", () => {
    const inventory = world(3, 4);
    const first = layout(view, inventory, nothingKept());
    const before = standing(first.scene);
    put(inventory, "vm:g1", null);
    const second = layout(view, inventory, first.kept);
    for (const [id, place] of standing(second.scene)) expect(before.get(id), id).toBe(place);
    put(inventory, "vm:new", { ...guestNumber(99_000, hostName(0), 1), since: 1e9 });
    const third = standing(layout(view, inventory, second.kept).scene);
    for (const [id, place] of before)
      if (id !== "vm:g1" && !id.includes("vnet1")) expect(third.get(id), id).toBe(place);
    if (view === "physical") expect(third.get("vm:new")).toBe(before.get("vm:g1"));
  });

  it.each(SIZES)("lays no box over another (%d hosts, %d guests each)", (hosts, guests) => {
    const { scene } = layout(view, world(hosts, guests), nothingKept());
    for (const card of cardsOf(scene)) {
      for (const [at, a] of card.boxes.entries()) {
        expect(a.x >= 0 && a.y >= 0 && a.x + a.w <= card.w && a.y + a.h <= card.h, a.id).toBe(true);
        for (const b of card.boxes.slice(at + 1))
          expect(
            a.x < b.x + b.w && b.x < a.x + a.w && a.y < b.y + b.h && b.y < a.y + a.h,
            `${a.id} ${b.id}`,
          ).toBe(false);
      }
    }
    const cards = cardsOf(scene);
    for (const [at, a] of cards.entries())
      for (const b of cards.slice(at + 1))
        expect(
          a.x < b.x + b.w && b.x < a.x + a.w && a.y < b.y + b.h && b.y < a.y + a.h,
          `${a.id} ${b.id}`,
        ).toBe(false);
  });

  it("survives hostile and half-known data", () => {
    const inventory = inventoryOf({});
    expect(layout(view, inventory, nothingKept()).scene.cards).toEqual([]);
    put(inventory, "vm:lost", { ...guestNumber(1, "nowhere", 0), nics: [] });
    put(inventory, "host:<b>/|:", { ...hostNamed("<b>/|:", 0), bridges: [] });
    put(inventory, "nonsense", { a: 1 });
    put(inventory, "what:ever", { a: 1 });
    expect(() => layout(view, inventory, nothingKept())).not.toThrow();
  });
});

describe("the physical view", () => {
  it("moves no guest of any host when hosts come, whether in a row, a grid or groups", () => {
    for (const hosts of [2, 20, 100]) {
      const inventory = world(hosts, 2);
      const first = layout("physical", inventory, nothingKept());
      put(inventory, "host:aa-first-by-name", hostNamed("aa-first-by-name", 7));
      const after = standing(layout("physical", inventory, first.kept).scene);
      for (const [id, place] of standing(first.scene))
        if (id.startsWith("vm:")) expect(after.get(id), id).toBe(place);
    }
  });

  it("draws every pair of a small mesh, and one bar for a large one", () => {
    const mesh = (hosts: number): string[] =>
      layout("physical", world(hosts, 1), nothingKept())
        .scene.cables.filter((cable) => cable.id.startsWith("mesh:"))
        .map((cable) => cable.id);
    expect(mesh(3)).toEqual(["mesh:hv001|hv002", "mesh:hv002|hv003", "mesh:hv001|hv003"]);
    expect(mesh(5).filter((id) => id === "mesh:all")).toHaveLength(1);
    expect(mesh(1)).toEqual([]);
  });

  it("groups by twenty past sixty hosts, each group named by its ends", () => {
    const { scene } = layout("physical", world(70, 1), nothingKept());
    expect(scene.groups.map((group) => group.name)).toEqual([
      "hv001 – hv020",
      "hv021 – hv040",
      "hv041 – hv060",
      "hv061 – hv070",
    ]);
    for (const group of scene.groups)
      for (const host of group.hosts) {
        const card = scene.cards.find((one) => one.id === `host:${host}`);
        expect(card && card.x >= group.x && card.y >= group.y && card.x + card.w <= group.x + group.w).toBe(
          true,
        );
      }
  });
});

describe("the logical view", () => {
  it("draws a router above the networks that it joins, under its way out", () => {
    const inventory = world(2, 2);
    put(inventory, "router:r1", {
      name: "edge",
      networks: ["n0", "n1"],
      external: "internet",
      addresses: ["203.0.113.5"],
    });
    const { scene } = layout("logical", inventory, nothingKept());
    const ids = (scene.shared?.boxes ?? []).map((box) => box.id);
    expect(ids).toEqual(["external:internet", "router:r1"]);
    expect(scene.cables.map((cable) => cable.id)).toEqual(["router:r1/out", "router:r1/n0", "router:r1/n1"]);
    for (const card of scene.cards)
      expect((scene.shared?.y ?? 0) + (scene.shared?.h ?? 0)).toBeLessThanOrEqual(card.y);
  });
});
