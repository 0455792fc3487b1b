/** The layout, off the main thread: takes what changed, answers with the cards that differ. */
import { type Kept, layout, nothingKept } from "../../core/topology/layout";
import { emptyInventory, put } from "../../core/topology/model";
import type { Card, Scene } from "../../core/topology/scene";

export interface Order {
  number: number;
  view: Scene["view"];
  /** Forget everything first. */
  afresh: boolean;
  /** Too much for the deadline: hosts without their guests. */
  coarse: boolean;
  entries: [object: string, data: unknown][];
}

/** The picture without the cards that are as they were: `order` names all of them. */
export interface Drawn {
  number: number;
  scene: Scene;
  order: string[];
  changed: Card[];
  tookMs: number;
}

let inventory = emptyInventory();
let kept: Kept = nothingKept();
let sent = new Map<string, string>();
let view: Scene["view"] | "" = "";

self.onmessage = (message: MessageEvent<Order>) => {
  const began = performance.now();
  const asked = message.data;
  if (asked.afresh) {
    inventory = emptyInventory();
    sent = new Map();
  }
  if (asked.view !== view) sent = new Map();
  view = asked.view;
  for (const [object, data] of asked.entries) put(inventory, object, data);
  const shown = asked.coarse ? { ...inventory, guests: new Map() } : inventory;
  const made = layout(asked.view, shown, kept);
  kept = made.kept;
  const changed: Card[] = [];
  const now = new Map<string, string>();
  for (const card of made.scene.cards) {
    const sum = fingerprint(card);
    now.set(card.id, sum);
    if (sent.get(card.id) !== sum) changed.push(card);
  }
  sent = now;
  const drawn: Drawn = {
    number: asked.number,
    scene: { ...made.scene, cards: [] },
    order: made.scene.cards.map((card) => card.id),
    changed,
    tookMs: performance.now() - began,
  };
  self.postMessage(drawn);
};

function fingerprint(card: Card): string {
  const boxes = card.boxes.map((box) => `${box.id},${box.x},${box.y},${box.w},${box.ports.length}`);
  return `${card.x},${card.y},${card.w},${card.h};${boxes.join(";")};${card.wires.length}`;
}
