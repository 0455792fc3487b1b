/**
 * The logical view: each network a band with its guests below, routers and the outside above. Bands stand side by side
 * and guests are added downwards, so that one more guest moves nothing.
 */
import { type GuestData, type Inventory, naturally } from "./model";
import { byAge, type Kept } from "./physical";
import { keepPlaces, type Places, span } from "./places";
import { type Box, boundsOf, type Cable, type Card, type Scene } from "./scene";

const COLUMNS = 4;
const CELL_W = 126;
const CELL_H = 62;
const GAP = 8;
const PAD = 10;
const BAND_H = 34;
const BLOCK_W = COLUMNS * (CELL_W + GAP) - GAP + 2 * PAD;
const FIRST_GUEST_Y = BAND_H + 40;
const BLOCKS_A_ROW = 6;
const ROUTER_Y = -110;

export function layoutLogical(inventory: Inventory, before: Kept): { scene: Scene; kept: Kept } {
  const ids = [...inventory.networks].sort(([, a], [, b]) => a.vni - b.vni).map(([uuid]) => uuid);
  const guests = guestsByNetwork(inventory);
  const kept: Kept = { ...before, networks: keepPlaces(before.networks, ids), blocks: new Map() };
  const cards = ids.map((uuid) => {
    const own = guests.get(uuid) ?? [];
    const places = keepPlaces(
      before.blocks.get(uuid),
      own.map(([id]) => id),
    );
    kept.blocks.set(uuid, places);
    return block(uuid, own, places);
  });
  placeBlocks(cards, kept);
  const shared = routersCard(inventory, cards);
  const cables = [...routerCables(inventory, cards, shared), ...secondNics(inventory, cards)];
  const all = shared ? [...cards, shared] : cards;
  return { scene: { view: "logical", cards, shared, cables, groups: [], bounds: boundsOf(all) }, kept };
}

/** A guest stands below the network of its first NIC. */
function guestsByNetwork(inventory: Inventory): Map<string, [string, GuestData][]> {
  const found = new Map<string, [string, GuestData][]>();
  for (const entry of [...inventory.guests].sort(byAge)) {
    const network = entry[1].nics[0]?.network ?? "";
    if (inventory.networks.has(network)) found.set(network, [...(found.get(network) ?? []), entry]);
  }
  return found;
}

function block(uuid: string, guests: readonly [string, GuestData][], places: Places): Card {
  const rows = Math.max(1, Math.ceil(span(places) / COLUMNS));
  const h = FIRST_GUEST_Y + rows * (CELL_H + GAP) + PAD;
  const ports = guests.flatMap(([, guest]) => portsOn(guest, uuid));
  const band: Box = {
    id: `network:${uuid}`,
    kind: "network",
    layer: "overlay",
    x: 0,
    y: 0,
    w: BLOCK_W,
    h: BAND_H,
    ports,
  };
  const card: Card = { id: `block:${uuid}`, x: 0, y: 0, w: BLOCK_W, h, lanes: [], boxes: [band], wires: [] };
  for (const [id, guest] of guests) {
    const place = places.get(id) ?? 0;
    const x = PAD + (place % COLUMNS) * (CELL_W + GAP);
    const y = FIRST_GUEST_Y + Math.floor(place / COLUMNS) * (CELL_H + GAP);
    const own = portsOn(guest, uuid);
    card.boxes.push({ id, kind: "guest", layer: "guest", x, y, w: CELL_W, h: CELL_H, ports: own });
    const line = x + 14 + 6 * Math.min(Math.floor(place / COLUMNS), 16);
    const points = [line, BAND_H, line, y];
    card.wires.push({ from: band.id, to: id, layer: "guest", points, ports: own, inferred: false });
  }
  return card;
}

/** `host|tap` of the guest's NICs on a network. */
function portsOn(guest: GuestData, network: string): string[] {
  return guest.nics
    .filter((nic) => nic.network === network && nic.tap)
    .map((nic) => `${guest.host}|${nic.tap}`);
}

function placeBlocks(cards: readonly Card[], kept: Kept): void {
  const heights: number[] = [];
  const rowOf = (card: Card): number => Math.floor(placeOf(card, kept) / BLOCKS_A_ROW);
  for (const card of cards) heights[rowOf(card)] = Math.max(heights[rowOf(card)] ?? 0, grown(card.h));
  for (const card of cards) {
    card.x = (placeOf(card, kept) % BLOCKS_A_ROW) * (BLOCK_W + 40);
    card.y = heights.slice(0, rowOf(card)).reduce((sum, height) => sum + (height ?? 0) + 60, 0);
  }
}

function placeOf(card: Card, kept: Kept): number {
  return kept.networks.get(card.id.slice("block:".length)) ?? 0;
}

/** A row of blocks leaves room to grow in steps that double, so that it seldom moves what is below. */
function grown(h: number): number {
  return 300 * 2 ** Math.max(0, Math.ceil(Math.log2(h / 300)));
}

function routersCard(inventory: Inventory, cards: readonly Card[]): Card | null {
  const routers = [...inventory.routers].sort(([a], [b]) => naturally(a, b));
  if (routers.length === 0 || cards.length === 0) return null;
  const right = Math.max(...cards.map((card) => card.x + card.w));
  const outside = [...new Set(routers.map(([, router]) => router.external).filter(Boolean))].sort(naturally);
  const card: Card = {
    id: "routers",
    x: 0,
    y: ROUTER_Y - 90,
    w: right,
    h: 160,
    lanes: [],
    boxes: [],
    wires: [],
  };
  outside.forEach((name, at) => {
    const w = right / outside.length - GAP;
    const box = { x: at * (w + GAP), y: 0, w, h: 32 };
    card.boxes.push({ id: `external:${name}`, kind: "network", layer: "underlay", ...box, ports: [] });
  });
  routers.forEach(([uuid], at) => {
    card.boxes.push({
      id: `router:${uuid}`,
      kind: "router",
      layer: "host",
      x: 40 + at * 240,
      y: 80,
      w: 200,
      h: 48,
      ports: [],
    });
  });
  return card;
}

function routerCables(inventory: Inventory, cards: readonly Card[], shared: Card | null): Cable[] {
  if (!shared) return [];
  const cables: Cable[] = [];
  for (const [uuid, router] of inventory.routers) {
    const box = shared.boxes.find((one) => one.id === `router:${uuid}`);
    if (!box) continue;
    const [x, bottom] = [shared.x + box.x + box.w / 2, shared.y + box.y + box.h];
    const line = (id: string, points: number[]): Cable => ({
      id,
      layer: "underlay",
      hosts: [],
      points,
      inferred: false,
      label: null,
    });
    if (router.external) cables.push(line(`router:${uuid}/out`, [x, shared.y + 32, x, shared.y + box.y]));
    for (const network of router.networks) {
      const card = cards.find((one) => one.id === `block:${network}`);
      if (!card) continue;
      const [to, y] = [card.x + card.w / 2, (bottom + card.y) / 2];
      cables.push(line(`router:${uuid}/${network}`, [x, bottom, x, y, to, y, to, card.y]));
    }
  }
  return cables;
}

/** From a guest to the networks of its further NICs. */
function secondNics(inventory: Inventory, cards: readonly Card[]): Cable[] {
  const byId = new Map(cards.map((card) => [card.id, card]));
  const cables: Cable[] = [];
  for (const [id, guest] of inventory.guests) {
    const home = byId.get(`block:${guest.nics[0]?.network}`);
    const box = home?.boxes.find((one) => one.id === id);
    for (const nic of guest.nics.slice(1)) {
      const other = byId.get(`block:${nic.network}`);
      if (!home || !box || !other || other === home) continue;
      const [x1, y1] = [home.x + box.x + box.w - 12, home.y + box.y];
      const [x2, y2] = [other.x + (other.x > home.x ? 30 : other.w - 30), other.y + BAND_H];
      const y = other.y + BAND_H + 20;
      const points = [x1, y1, x1, y, x2, y, x2, y2];
      cables.push({
        id: `nic:${nic.uuid}`,
        layer: "guest",
        hosts: [guest.host],
        points,
        inferred: false,
        label: null,
      });
    }
  }
  return cables;
}
