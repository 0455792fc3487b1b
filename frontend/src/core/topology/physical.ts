/**
 * The physical view: hosts as cards. A few stand in one row with the VXLAN mesh and the wire below; many stand in a grid
 * with a bar per row; very many stand in groups. Deterministic from the inventory, and what stands stays (see places).
 */
import {
  BRIDGE,
  CARD_W,
  type CardPlaces,
  type Density,
  GRIDS,
  type HostInput,
  layoutCard,
  placesUsed,
  portId,
  rowsFor,
} from "./cards";
import { type GuestData, type HostData, type Inventory, naturally } from "./model";
import { keepPlaces, type Places, span } from "./places";
import { boundsOf, type Cable, type Card, type Group, type Scene } from "./scene";
import { isDrawn } from "./spaces";

const ROW_OF_HOSTS = 6;
export const FOLD_PAST = 12;
const GROUP_PAST = 60;
const GROUP_SIZE = 20;
const GROUP_COLUMNS = 10;
const GAP_X = 22;
const GAP_Y = 70;
const MESH_PITCH = 40;
const PAIRS_DRAWN = 4;
const GROUP_PAD = 60;
const WIDE = 1.5; // screens are wider than high

/** What a picture remembers for the next one. */
export interface Kept {
  hosts: Places;
  groups: Map<string, Places>;
  groupOrder: Places;
  cards: Map<string, CardPlaces>;
  density: Density;
  /** Rows of guests that the distance between rows of hosts leaves room for. */
  pitchRows: number;
  networks: Places;
  blocks: Map<string, Places>;
}

export function nothingKept(): Kept {
  return {
    hosts: new Map(),
    groups: new Map(),
    groupOrder: new Map(),
    cards: new Map(),
    density: "roomy",
    pitchRows: 0,
    networks: new Map(),
    blocks: new Map(),
  };
}

export function layoutPhysical(inventory: Inventory, before: Kept): { scene: Scene; kept: Kept } {
  const inputs = inputsOf(inventory);
  const density = densityFor(inputs, before);
  const sameDensity = before.pitchRows > 0 && density === before.density;
  const used = inputs.map((input) =>
    placesUsed(sameDensity ? before.cards.get(input.id) : undefined, input.guests.length),
  );
  const rows = rowsFor(density, Math.max(1, ...used));
  const grows = sameDensity && rows <= before.pitchRows;
  const kept: Kept = {
    ...before,
    density,
    pitchRows: grows ? before.pitchRows : inputs.length > ROW_OF_HOSTS ? rows + Math.min(rows, 4) : rows,
    cards: new Map(),
  };
  const cards = inputs.map((input) => {
    const { card, places } = layoutCard(
      input,
      density,
      rows,
      sameDensity ? before.cards.get(input.id) : undefined,
    );
    kept.cards.set(input.id, places);
    return card;
  });
  const scene = arrange(cards, inputs, kept, before);
  return { scene, kept };
}

function inputsOf(inventory: Inventory): HostInput[] {
  const guests = new Map<string, [string, GuestData][]>();
  for (const entry of inventory.guests) {
    if (!isDrawn(entry[1])) continue;
    const list = guests.get(entry[1].host) ?? [];
    list.push(entry);
    guests.set(entry[1].host, list);
  }
  const hosts = [...inventory.hosts].sort(([a], [b]) => naturally(a, b));
  return hosts.map(([name, host]) => ({
    id: `host:${name}`,
    host,
    guests: (guests.get(name) ?? []).sort(byAge),
  }));
}

/** Oldest first, so that a new guest comes last. */
export function byAge([idA, a]: [string, GuestData], [idB, b]: [string, GuestData]): number {
  return a.since - b.since || naturally(idA, idB);
}

/** A density is kept until twice its guests are there, so that one guest more does not change the whole picture. */
function densityFor(inputs: readonly HostInput[], before: Kept): Density {
  const most = Math.max(0, ...inputs.map((input) => Math.max(input.guests.length, nicCount(input))));
  const [order, slack]: [Density[], number] = [["roomy", "compact", "dense"], before.pitchRows > 0 ? 2 : 1];
  const fits = (density: Density): boolean => most <= GRIDS[density].most;
  const fitting = order.find(fits) ?? "dense";
  if (before.pitchRows > 0 && most <= GRIDS[before.density].most * slack) {
    return order.indexOf(before.density) >= order.indexOf(fitting)
      ? before.density
      : keepIfRoom(before.density, most);
  }
  return fitting;
}

function keepIfRoom(density: Density, most: number): Density {
  return most <= GRIDS[density].most * 2 ? density : "dense";
}

function nicCount(input: HostInput): number {
  return input.guests.reduce((sum, [, guest]) => sum + guest.nics.filter((nic) => nic.tap).length, 0);
}

function arrange(cards: Card[], inputs: readonly HostInput[], kept: Kept, before: Kept): Scene {
  if (cards.length > GROUP_PAST) return inGroups(cards, inputs, kept, before);
  kept.hosts = keepPlaces(
    before.hosts,
    cards.map((card) => card.id),
  );
  if (cards.length > ROW_OF_HOSTS && span(kept.hosts) > ROW_OF_HOSTS) return inGrid(cards, kept);
  for (const card of cards) card.x = (kept.hosts.get(card.id) ?? 0) * (CARD_W + GAP_X);
  const bottom = 213;
  const tunnels = meshOf(cards, inputs, bottom + 30);
  const wireY = bottom + 40 + MESH_PITCH * Math.max(1, tunnels.lanes);
  const right = Math.max(CARD_W, ...cards.map((card) => card.x + card.w));
  const shared = wireCard(cards, wireY, right);
  const cables = [...tunnels.cables, ...uplinks(cards, wireY)];
  return {
    view: "physical",
    cards,
    shared,
    cables,
    groups: [],
    bounds: boundsOf(shared ? [...cards, shared] : cards),
  };
}

function wireCard(cards: readonly Card[], y: number, right: number): Card | null {
  if (cards.length === 0) return null;
  const h = 54;
  const box = {
    id: "wire:underlay",
    kind: "wire" as const,
    layer: "underlay" as const,
    x: 0,
    y: 0,
    w: right,
    h,
    ports: [],
  };
  return { id: "underlay", x: 0, y, w: right, h, lanes: [], boxes: [box], wires: [] };
}

/** Pairs of hosts in lanes of their own while they are few, else one bar that all tunnels lead into. */
function meshOf(
  cards: readonly Card[],
  inputs: readonly HostInput[],
  top: number,
): { cables: Cable[]; lanes: number } {
  const ends = inputs
    .map((input, at) => ({ host: input.host, card: cards[at], tunnel: tunnelOf(cards[at], input.host) }))
    .filter((end) => end.tunnel !== undefined)
    .sort((a, b) => (a.card?.x ?? 0) - (b.card?.x ?? 0));
  if (ends.length < 2) return { cables: [], lanes: 1 };
  const xOf = (end: (typeof ends)[number], shift: number): number =>
    (end.card?.x ?? 0) + (end.tunnel?.x ?? 0) + (end.tunnel?.w ?? 0) - 14 + shift;
  const yOf = (end: (typeof ends)[number]): number =>
    (end.card?.y ?? 0) + (end.tunnel?.y ?? 0) + (end.tunnel?.h ?? 0);
  if (ends.length > PAIRS_DRAWN) {
    const y = top + 8;
    const drops = ends.map(
      (end): Cable =>
        cable(`mesh:${end.host.name}`, [end.host.name], [xOf(end, 0), yOf(end), xOf(end, 0), y]),
    );
    const [first, last] = [ends[0], ends[ends.length - 1]];
    if (!first || !last) return { cables: [], lanes: 1 };
    const bar = cable(
      "mesh:all",
      ends.map((end) => end.host.name),
      [xOf(first, 0), y, xOf(last, 0), y],
    );
    return { cables: [...drops, { ...bar, label: [(xOf(first, 0) + xOf(last, 0)) / 2, y] }], lanes: 1 };
  }
  const cables: Cable[] = [];
  let lane = 0;
  for (let reach = 1; reach < ends.length; reach++) {
    for (let at = 0; at + reach < ends.length; at++) {
      const [a, b] = [ends[at], ends[at + reach]];
      if (!a || !b) continue;
      const y = top + lane * MESH_PITCH;
      const [x1, x2] = [xOf(a, -9 * (reach - 1)), xOf(b, -9 * reach - 12)];
      const points = [x1, yOf(a), x1, y, x2, y, x2, yOf(b)];
      const pair = cable(`mesh:${a.host.name}|${b.host.name}`, [a.host.name, b.host.name], points);
      cables.push({ ...pair, label: [(x1 + x2) / 2, y] });
    }
    lane++;
  }
  return { cables, lanes: lane };
}

function cable(id: string, hosts: string[], points: number[]): Cable {
  return { id, layer: "overlay", hosts, points, inferred: false, label: null };
}

function tunnelOf(card: Card | undefined, host: HostData): Card["boxes"][number] | undefined {
  const integration = host.bridges.find((bridge) => bridge.name === BRIDGE);
  const names = (integration?.ports ?? [])
    .filter((port) => port.kind === "tunnel")
    .map((port) => portId(host, port.name));
  return card?.boxes.find((box) => names.includes(box.id));
}

/** Every NIC down to the wire. What is between them nobody has seen. */
function uplinks(cards: readonly Card[], wireY: number): Cable[] {
  return cards.flatMap((card) =>
    card.boxes
      .filter((box) => box.kind === "nic")
      .map((box): Cable => {
        const x = card.x + box.x + box.w / 3;
        const points = [x, card.y + box.y + box.h, x, wireY];
        const host = card.id.slice("host:".length);
        return {
          id: `up:${box.id}`,
          layer: "underlay",
          hosts: [host],
          points,
          inferred: box.id.startsWith("nic:"),
          label: null,
        };
      }),
  );
}

function inGrid(cards: Card[], kept: Kept): Scene {
  const columns = Math.max(4, Math.ceil(Math.sqrt(span(kept.hosts) * 1.6)));
  const pitch = rowPitch(kept);
  for (const card of cards) {
    const place = kept.hosts.get(card.id) ?? 0;
    card.x = (place % columns) * (CARD_W + GAP_X);
    card.y += Math.floor(place / columns) * pitch;
  }
  return { view: "physical", cards, shared: null, cables: bars(cards), groups: [], bounds: boundsOf(cards) };
}

function rowPitch(kept: Kept): number {
  return kept.pitchRows * GRIDS[kept.density].pitch + 90 + 213 + GAP_Y;
}

/** One overlay bar and one underlay bar below each row of hosts. */
function bars(cards: readonly Card[]): Cable[] {
  const rows = new Map<number, Card[]>();
  for (const card of cards) {
    const bottom = Math.round(card.y + card.h);
    rows.set(bottom, [...(rows.get(bottom) ?? []), card]);
  }
  const cables: Cable[] = [];
  for (const [bottom, row] of rows) {
    const left = Math.min(...row.map((card) => card.x));
    const right = Math.max(...row.map((card) => card.x + card.w));
    const hosts = row.map((card) => card.id.slice("host:".length));
    const id = `${row[0]?.id ?? ""}`;
    cables.push(cable(`bar:overlay:${id}`, hosts, [left + 40, bottom + 18, right - 40, bottom + 18]));
    cables.push({
      ...cable(`bar:underlay:${id}`, hosts, [left + 40, bottom + 38, right - 40, bottom + 38]),
      layer: "underlay",
    });
    for (const card of row) {
      const host = [card.id.slice("host:".length)];
      cables.push(cable(`mesh:${host}`, host, [card.x + 50, bottom - 60, card.x + 50, bottom + 18]));
      const down = [card.x + 250, bottom - 13, card.x + 250, bottom + 38];
      cables.push({ ...cable(`up:${host}`, host, down), layer: "underlay" });
    }
  }
  return cables;
}

function inGroups(cards: Card[], inputs: readonly HostInput[], kept: Kept, before: Kept): Scene {
  kept.groups = groupPlaces(inputs, before.groups);
  kept.groupOrder = keepPlaces(before.groupOrder, [...kept.groups.keys()]);
  const byId = new Map(cards.map((card) => [card.id, card]));
  const pitch = rowPitch(kept);
  const [groupW, groupH] = [
    GROUP_COLUMNS * (CARD_W + GAP_X) + 2 * GROUP_PAD,
    Math.ceil(GROUP_SIZE / GROUP_COLUMNS) * pitch + 2 * GROUP_PAD + 40,
  ];
  const columns = Math.max(1, Math.ceil(Math.sqrt((span(kept.groupOrder) * groupH * WIDE) / groupW)));
  const groups: Group[] = [];
  for (const [name, places] of kept.groups) {
    const at = kept.groupOrder.get(name) ?? 0;
    const [x, y] = [(at % columns) * (groupW + 80), Math.floor(at / columns) * (groupH + 80)];
    for (const [id, place] of places) {
      const card = byId.get(id);
      if (!card) continue;
      card.x = x + GROUP_PAD + (place % GROUP_COLUMNS) * (CARD_W + GAP_X);
      const base = y + GROUP_PAD + 40 + (Math.floor(place / GROUP_COLUMNS) + 1) * pitch - 213 - GAP_Y;
      card.y += base;
    }
    const hosts = [...places.keys()].map((id) => id.slice("host:".length)).sort(naturally);
    groups.push({ id: `group:${name}`, name: groupName(hosts), hosts, x, y, w: groupW, h: groupH });
  }
  const cables = groups.flatMap((group) =>
    bars(group.hosts.map((host) => byId.get(`host:${host}`)).filter((card) => !!card)),
  );
  return { view: "physical", cards, shared: null, cables, groups, bounds: boundsOf(groups) };
}

/** Hosts by the letters of their name, twenty a group; who has a place in a group keeps it. */
function groupPlaces(inputs: readonly HostInput[], before: Map<string, Places>): Map<string, Places> {
  const here = new Map(inputs.map((input) => [input.id, input.host.name]));
  const members = new Map<string, string[]>();
  const homeOf = new Map<string, string>();
  for (const [group, places] of before)
    for (const id of places.keys()) if (here.has(id)) homeOf.set(id, group);
  for (const [id, group] of homeOf) members.set(group, [...(members.get(group) ?? []), id]);
  for (const [id, name] of here) {
    if (homeOf.has(id)) continue;
    const prefix = name.replace(/\d+$/, "");
    let number = 0;
    while ((members.get(`${prefix}#${number}`)?.length ?? 0) >= GROUP_SIZE) number++;
    const group = `${prefix}#${number}`;
    members.set(group, [...(members.get(group) ?? []), id]);
  }
  return new Map([...members].map(([group, ids]) => [group, keepPlaces(before.get(group), ids)]));
}

function groupName(hosts: readonly string[]): string {
  const [first, last] = [hosts[0] ?? "", hosts[hosts.length - 1] ?? ""];
  return hosts.length > 1 ? `${first} – ${last}` : first;
}
