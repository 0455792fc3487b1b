/**
 * One host as a card, lanes from top to bottom as a packet goes down: guests, taps, bridge, tunnels and other bridges,
 * NICs. The lane of the taps begins at y = 0 and everything below it is fixed; guests stack upwards, so that one more
 * guest never moves another.
 */
import type { BridgeData, GuestData, HostData, PortData } from "./model";
import { keepPlaces, type Places, span } from "./places";
import type { Box, BoxKind, Card, Lane, Layer, Wire } from "./scene";
import { cablesOf } from "./spaces";

export type Density = "roomy" | "compact" | "dense";

export const CARD_W = 328;
const PAD = 10;
const INSIDE = CARD_W - 2 * PAD;
const HEAD_H = 52;
const STRIP_H = 30;
const LANES = { taps: [0, 40], bridge: [45, 56], tunnels: [105, 48], nics: [157, 48] } as const;
const BOTTOM = 213;
const GAP = 6;
export const BRIDGE = "br-int";

interface Grid {
  columns: number;
  w: number;
  h: number;
  pitch: number;
  /** Guests of the fullest host, up to which a picture begins with this density. */
  most: number;
}

export const GRIDS: Record<Density, Grid> = {
  roomy: { columns: 3, w: 98, h: 78, pitch: 86, most: 6 },
  compact: { columns: 3, w: 98, h: 26, pitch: 31, most: 60 },
  dense: { columns: 14, w: 19, h: 13, pitch: 16, most: Number.POSITIVE_INFINITY },
};
const TAP_SLOTS = 6;
const TAP_W = 48;

export interface HostInput {
  id: string;
  host: HostData;
  guests: [string, GuestData][];
}

/** What of a card is kept from picture to picture. */
export interface CardPlaces {
  guests: Places;
  taps: Places;
}

/** The card with its top at `-rows` of guests; x and y are the caller's. */
export function layoutCard(
  input: HostInput,
  density: Density,
  rows: number,
  before: CardPlaces | undefined,
): { card: Card; places: CardPlaces } {
  const grid = GRIDS[density];
  const top = -(rows * grid.pitch) - STRIP_H - HEAD_H - 8;
  const places: CardPlaces = {
    guests: keepPlaces(
      before?.guests,
      input.guests.map(([id]) => id),
    ),
    taps: new Map(),
  };
  const card: Card = {
    id: input.id,
    x: 0,
    y: top,
    w: CARD_W,
    h: BOTTOM - top,
    lanes: [],
    boxes: [],
    wires: [],
  };
  const add = (
    kind: BoxKind,
    id: string,
    layer: Layer,
    rect: [number, number, number, number],
    ports: string[],
  ): Box => {
    const box = { id, kind, layer, x: rect[0], y: rect[1] - top, w: rect[2], h: rect[3], ports };
    card.boxes.push(box);
    return box;
  };
  card.lanes = lanes(top, rows * grid.pitch + STRIP_H + 3);
  const guests = new Map<string, Box>();
  for (const [id, guest] of input.guests) {
    const place = places.guests.get(id) ?? 0;
    const x = PAD + (place % grid.columns) * (grid.w + (density === "dense" ? 3 : GAP));
    const y = -STRIP_H - (Math.floor(place / grid.columns) + 1) * grid.pitch + 4;
    guests.set(
      id,
      add("guest", id, "guest", [x, y, grid.w, grid.h], guest.nics.map((nic) => nic.tap).filter(Boolean)),
    );
  }
  const { guests: hidden, ports: hiddenPorts } = input.host.others;
  if (hidden + hiddenPorts > 0)
    add("others", `others:${input.host.name}`, "guest", [PAD, -STRIP_H + 4, INSIDE, 21], [""]);
  const integration = input.host.bridges.find((bridge) => bridge.name === BRIDGE);
  const plugs = plugsOf(input, integration);
  places.taps = keepPlaces(
    before?.taps,
    plugs.map((plug) => plug.id),
    below(plugs, places.guests),
  );
  if (integration) {
    const all = plugs.flatMap((plug) => plug.ports);
    const [y] = LANES.bridge;
    const bridge = add("bridge", bridgeId(input.host, BRIDGE), "host", [PAD, y + 6, INSIDE, 44], all);
    const under = layoutBelow(input.host, integration, add);
    card.wires.push(...under.map((box) => drop(bridge, box)));
    card.wires.push(...wiresToNics(card.boxes, input.host));
    layoutTaps(card, density, plugs, places.taps, guests, bridge, add);
    if (density === "roomy")
      for (const [id, guest] of input.guests) card.wires.push(...cables(card.boxes, guests.get(id), guest));
  }
  return { card, places };
}

export function rowsFor(density: Density, mostPlaces: number): number {
  const rows = Math.max(1, Math.ceil(mostPlaces / GRIDS[density].columns));
  return rows <= 2 ? rows : Math.ceil(rows / 4) * 4;
}

export function placesUsed(places: CardPlaces | undefined, guests: number): number {
  return Math.max(guests, places ? span(places.guests) : 0);
}

export function bridgeId(host: HostData, bridge: string): string {
  return `bridge:${host.name}/${bridge}`;
}

export function portId(host: HostData, port: string): string {
  return `port:${host.name}/${port}`;
}

function lanes(top: number, guestsH: number): Lane[] {
  const lane = (layer: Layer, name: string, [y, h]: readonly [number, number]): Lane => ({
    layer,
    name,
    y: y - top,
    h,
  });
  return [
    lane("guest", "Guests", [-guestsH - 5, guestsH]),
    lane("host", "Taps", LANES.taps),
    lane("host", "Bridge", LANES.bridge),
    lane("overlay", "Tunnels", LANES.tunnels),
    lane("underlay", "NICs", LANES.nics),
  ];
}

interface Plug {
  id: string;
  guest: string;
  kind: "tap" | "port";
  ports: string[];
}

/** What is plugged into the integration bridge from above: the guests' taps, then ports that nobody here explains. */
function plugsOf(input: HostInput, integration: BridgeData | undefined): Plug[] {
  const taps = input.guests.flatMap(([id, guest]) =>
    guest.nics
      .filter((nic) => nic.tap)
      .map((nic): Plug => ({ id: portId(input.host, nic.tap), guest: id, kind: "tap", ports: [nic.tap] })),
  );
  const known = new Set(taps.flatMap((plug) => plug.ports));
  const strangers = (integration?.ports ?? []).filter((port) => port.foreign && !known.has(port.name));
  const others = strangers.map(
    (port): Plug => ({ id: portId(input.host, port.name), guest: "", kind: "port", ports: [port.name] }),
  );
  return [...taps, ...others];
}

/** A tap's wish: below its guest. Two fit there, one for each row of guests (or for a second NIC). */
function below(plugs: readonly Plug[], guests: Places): (id: string) => number | undefined {
  const wishes = new Map(
    plugs.map((plug): [string, number | undefined] => {
      const place = guests.get(plug.guest);
      return [plug.id, place === undefined ? undefined : 2 * (place % 3) + (Math.floor(place / 3) % 2)];
    }),
  );
  return (id) => wishes.get(id);
}

type Add = (
  kind: BoxKind,
  id: string,
  layer: Layer,
  rect: [number, number, number, number],
  ports: string[],
) => Box;

function layoutTaps(
  card: Card,
  density: Density,
  plugs: readonly Plug[],
  places: Places,
  guests: ReadonlyMap<string, Box>,
  bridge: Box,
  add: Add,
): void {
  if (plugs.length === 0) return;
  const [y] = LANES.taps;
  if (density !== "roomy") {
    const every = plugs.flatMap((plug) => plug.ports);
    const host = card.id.slice("host:".length);
    const box = add("taps", `taps:${host}`, "host", [PAD, y + 5, INSIDE, 30], every);
    card.wires.push(drop(box, bridge));
    return;
  }
  for (const plug of plugs) {
    const guest = guests.get(plug.guest);
    if ((places.get(plug.id) ?? 0) >= TAP_SLOTS) {
      // No room beside the others, which stay where they are: the guest stands for its tap.
      if (guest) card.wires.push({ ...lead(guest, bridge), ports: plug.ports });
      continue;
    }
    const x = PAD + (places.get(plug.id) ?? 0) * (TAP_W + 4);
    const tap = add(plug.kind, plug.id, "host", [x, y + 5, TAP_W, 30], plug.ports);
    card.wires.push(drop(tap, bridge));
    if (guest) card.wires.push(lead(guest, tap));
  }
}

/** Tunnels and other bridges beside each other, NICs below. */
function layoutBelow(host: HostData, integration: BridgeData, add: Add): Box[] {
  const tunnels = host.bridges.flatMap((bridge) => bridge.ports.filter((port) => port.kind === "tunnel"));
  const others = host.bridges.filter((bridge) => bridge !== integration);
  const mids = [
    ...tunnels.map(
      (port): Item => ({ kind: "tunnel", id: portId(host, port.name), layer: "overlay", ports: [port.name] }),
    ),
    ...others.map(
      (bridge): Item => ({
        kind: "bridge",
        id: bridgeId(host, bridge.name),
        layer: "host",
        ports: bridge.ports.map((port) => port.name),
      }),
    ),
  ];
  const middle = inARow(mids, LANES.tunnels[0] + 5, host, "middle", add);
  const nics = host.bridges.flatMap((bridge) => bridge.ports.filter((port) => isUplink(bridge, port)));
  const items = nics.map(
    (port): Item => ({ kind: "nic", id: portId(host, port.name), layer: "underlay", ports: [port.name] }),
  );
  const unseen: Item = { kind: "nic", id: `nic:${host.name}`, layer: "underlay", ports: [] };
  inARow(items.length > 0 ? items : [unseen], LANES.nics[0] + 5, host, "nics", add);
  const patched = new Set(integration.ports.filter((port) => port.kind === "patch").map((port) => port.peer));
  return middle.filter((box) => box.kind !== "bridge" || box.ports.some((port) => patched.has(port)));
}

export function isUplink(bridge: BridgeData, port: PortData): boolean {
  return ["nic", "veth", "bond"].includes(port.kind) && !port.foreign && bridge.ports.includes(port);
}

interface Item {
  kind: BoxKind;
  id: string;
  layer: Layer;
  ports: string[];
}

const MOST_IN_ROW = 4;

function inARow(items: readonly Item[], y: number, host: HostData, name: string, add: Add): Box[] {
  const shown = items.length > MOST_IN_ROW ? items.slice(0, MOST_IN_ROW - 1) : items;
  const rest = items.slice(shown.length);
  const cells: Item[] = [...shown];
  if (rest.length > 0) {
    const layer = rest[0]?.layer ?? "host";
    cells.push({
      kind: "more",
      id: `more:${host.name}/${name}`,
      layer,
      ports: rest.flatMap((item) => item.ports),
    });
  }
  const w = (INSIDE - GAP * (Math.max(cells.length, 2) - 1)) / Math.max(cells.length, 2);
  return cells.map((cell, at) =>
    add(cell.kind, cell.id, cell.layer, [PAD + at * (w + GAP), y, w, 38], cell.ports),
  );
}

/** From each tunnel and bridge to the NIC that carries it: seen when the NIC is the bridge's port, else concluded. */
function wiresToNics(boxes: readonly Box[], host: HostData): Wire[] {
  const nics = boxes.filter((box) => box.kind === "nic");
  const wires: Wire[] = [];
  for (const box of boxes) {
    if (box.kind === "bridge" && !box.id.endsWith(`/${BRIDGE}`)) {
      for (const nic of nics)
        if (box.ports.some((port) => nic.ports.includes(port))) wires.push(drop(box, nic));
    } else if (box.kind === "tunnel" && nics[0]) {
      wires.push({
        ...drop(box, carrier(nics, host) ?? nics[0], "underlay"),
        inferred: true,
        ports: box.ports,
      });
    }
  }
  return wires;
}

/** The NIC that most likely carries the tunnels: one of our own bridge with the host's underlay MTU. */
function carrier(nics: readonly Box[], host: HostData): Box | undefined {
  const fitting = host.bridges
    .flatMap((bridge) => bridge.ports)
    .filter((port) => port.mtu === host.mtu)
    .map((port) => port.name);
  return nics.find((nic) => nic.ports.some((port) => fitting.includes(port)));
}

/** Straight down where the boxes overlap, else with one bend between them. */
function drop(upper: Box, lower: Box, layer: Layer = lower.layer): Wire {
  const [left, right] = [Math.max(upper.x, lower.x), Math.min(upper.x + upper.w, lower.x + lower.w)];
  const [y1, y2] = [upper.y + upper.h, lower.y];
  const own = upper.ports.length <= lower.ports.length ? upper : lower;
  const wire = {
    from: upper.id,
    to: lower.id,
    layer: upper.kind === "tap" ? "host" : layer,
    inferred: false,
    ports: own.ports,
  };
  if (right > left) {
    const x = (left + right) / 2;
    return { ...wire, points: [x, y1, x, y2] };
  }
  const [x1, x2, y] = [upper.x + upper.w / 2, lower.x + lower.w / 2, (y1 + y2) / 2];
  return { ...wire, points: [x1, y1, x1, y, x2, y, x2, y2] };
}

/** From a namespace to what its cables end at, beside the taps that are its own: another's tap, or what lies below the bridge. */
function cables(boxes: readonly Box[], from: Box | undefined, guest: GuestData): Wire[] {
  const found: Wire[] = [];
  for (const port of cablesOf(guest)) {
    const to =
      boxes.find((box) => box.id === `port:${guest.host}/${port}`) ??
      boxes.find((box) => box.kind === "bridge" && box.ports.includes(port));
    if (!from || !to) continue;
    found.push({ ...(to.kind === "tap" ? lead(from, to) : around(from, to)), ports: [port] });
  }
  return found;
}

/** Down along the card's right edge, past taps and bridge. */
function around(from: Box, to: Box): Wire {
  const [x1, x2, edge] = [from.x + from.w - 12, to.x + to.w / 2, CARD_W - 4];
  const y1 = from.y + from.h;
  const points = [x1, y1, x1, y1 + 3, edge, y1 + 3, edge, to.y - 4, x2, to.y - 4, x2, to.y];
  return { from: from.id, to: to.id, layer: "guest", points, ports: to.ports, inferred: false };
}

/** From a guest down to its tap, behind the guests of the rows between them: straight where the tap is below it. */
function lead(guest: Box, tap: Box): Wire {
  const x2 = tap.x + tap.w / 2;
  const x1 = Math.min(Math.max(x2, guest.x + 8), guest.x + guest.w - 8);
  const y1 = guest.y + guest.h;
  const bend = Math.max(tap.y - 6 - STRIP_H, y1 + 2);
  const points = x1 === x2 ? [x1, y1, x2, tap.y] : [x1, y1, x1, bend, x2, bend, x2, tap.y];
  return { from: guest.id, to: tap.id, layer: "guest", points, ports: tap.ports, inferred: false };
}
