/** A picture as numbers: what the layout makes, and what drawing, hit-testing and walking by keyboard read. */

export type Layer = "guest" | "host" | "overlay" | "underlay";
export type BoxKind =
  | "guest"
  | "tap"
  | "taps"
  | "others"
  | "bridge"
  | "tunnel"
  | "nic"
  | "port"
  | "more"
  | "network"
  | "router"
  | "wire";

/** `id` names the object on the map; x and y are relative to the card. `ports` are the switch ports whose traffic it has. */
export interface Box {
  id: string;
  kind: BoxKind;
  layer: Layer;
  x: number;
  y: number;
  w: number;
  h: number;
  ports: string[];
}

/** A line between two boxes of a card. `inferred`: nobody saw it, it is concluded. */
export interface Wire {
  from: string;
  to: string;
  layer: Layer;
  points: number[];
  ports: string[];
  inferred: boolean;
}

export interface Lane {
  layer: Layer;
  name: string;
  y: number;
  h: number;
}

/** A host (or, in the logical view, a network) with everything in it. x, y is its top left corner. */
export interface Card {
  id: string;
  x: number;
  y: number;
  w: number;
  h: number;
  lanes: Lane[];
  boxes: Box[];
  wires: Wire[];
}

/** A line between cards, in the picture's own coordinates. */
export interface Cable {
  id: string;
  layer: Layer;
  hosts: string[];
  points: number[];
  inferred: boolean;
  /** Where its words stand; none when they would not fit. */
  label: [number, number] | null;
}

export interface Group {
  id: string;
  name: string;
  hosts: string[];
  x: number;
  y: number;
  w: number;
  h: number;
}

export interface Bounds {
  x: number;
  y: number;
  w: number;
  h: number;
}

export interface Scene {
  view: "physical" | "logical";
  cards: Card[];
  /** Boxes that are no card's: the wire below all hosts. */
  shared: Card | null;
  cables: Cable[];
  groups: Group[];
  bounds: Bounds;
}

interface Placed {
  card: Card;
  box: Box;
}

export function* boxesOf(scene: Scene): Generator<Placed> {
  for (const card of cardsOf(scene)) for (const box of card.boxes) yield { card, box };
}

export function cardsOf(scene: Scene): Card[] {
  return scene.shared ? [...scene.cards, scene.shared] : scene.cards;
}

export function findBox(scene: Scene, id: string): Placed | null {
  for (const placed of boxesOf(scene)) if (placed.box.id === id) return placed;
  return null;
}

function findCard(scene: Scene, id: string): Card | null {
  return scene.cards.find((card) => card.id === id) ?? null;
}

/** The rectangle of an object in the picture: a box, a card, or a group. */
export function rectOf(scene: Scene, id: string): Bounds | null {
  const card = findCard(scene, id) ?? scene.groups.find((group) => group.id === id);
  if (card) return { x: card.x, y: card.y, w: card.w, h: card.h };
  const placed = findBox(scene, id);
  if (placed) {
    const { card: within, box } = placed;
    return { x: within.x + box.x, y: within.y + box.y, w: box.w, h: box.h };
  }
  const cable = scene.cables.find((one) => one.id === id);
  return cable?.label ? { x: cable.label[0] - 40, y: cable.label[1] - 10, w: 80, h: 20 } : null;
}

export function boundsOf(rects: Iterable<Bounds>): Bounds {
  let [left, top, right, bottom] = [
    Number.POSITIVE_INFINITY,
    Number.POSITIVE_INFINITY,
    Number.NEGATIVE_INFINITY,
    Number.NEGATIVE_INFINITY,
  ];
  for (const rect of rects) {
    left = Math.min(left, rect.x);
    top = Math.min(top, rect.y);
    right = Math.max(right, rect.x + rect.w);
    bottom = Math.max(bottom, rect.y + rect.h);
  }
  return left === Number.POSITIVE_INFINITY
    ? { x: 0, y: 0, w: 400, h: 300 }
    : { x: left, y: top, w: right - left, h: bottom - top };
}
