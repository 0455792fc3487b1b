/** What is below the pointer, and what lies next in a direction. */
import type { Detail } from "./detail";
import { type Bounds, boxesOf, cardsOf, rectOf, type Scene } from "./scene";

const CABLE_REACH = 7;

function holds(rect: Bounds, x: number, y: number): boolean {
  return x >= rect.x && y >= rect.y && x < rect.x + rect.w && y < rect.y + rect.h;
}

/** The smallest thing drawn at a point of the picture: box, cable, card, group, or "". `reach` is in the picture's units. */
export function hit(scene: Scene, detail: Detail, x: number, y: number, reach = CABLE_REACH): string {
  if (detail === "grouped") return scene.groups.find((group) => holds(group, x, y))?.id ?? "";
  const card = cardsOf(scene).find((one) => holds(one, x, y));
  if (detail === "folded") return card?.id ?? "";
  if (card) {
    const box = card.boxes.find((one) => holds(one, x - card.x, y - card.y));
    if (box) return box.id;
  }
  const cable = scene.cables.find((one) => nearLine(one.points, x, y, reach));
  if (cable) return cable.id;
  return card?.id.startsWith("host:") ? card.id : "";
}

function nearLine(points: readonly number[], x: number, y: number, reach: number): boolean {
  for (let at = 0; at + 3 < points.length; at += 2) {
    const [x1 = 0, y1 = 0, x2 = 0, y2 = 0] = points.slice(at, at + 4);
    const length = (x2 - x1) ** 2 + (y2 - y1) ** 2;
    const part =
      length === 0 ? 0 : Math.min(1, Math.max(0, ((x - x1) * (x2 - x1) + (y - y1) * (y2 - y1)) / length));
    if (Math.hypot(x - x1 - part * (x2 - x1), y - y1 - part * (y2 - y1)) <= reach) return true;
  }
  return false;
}

export type Direction = "left" | "right" | "up" | "down";
const ALONG: Record<Direction, [number, number]> = {
  left: [-1, 0],
  right: [1, 0],
  up: [0, -1],
  down: [0, 1],
};
const SIDEWAYS = 2.5;

/** The nearest thing of the same level of detail in a direction; "" when there is none. Nothing chosen: the first. */
export function neighbour(scene: Scene, detail: Detail, from: string, direction: Direction): string {
  const things = thingsAt(scene, detail);
  const here = rectOf(scene, from);
  if (!here) return things[0]?.[0] ?? "";
  const [dx, dy] = ALONG[direction];
  let [best, bestCost] = ["", Number.POSITIVE_INFINITY];
  for (const [id, rect] of things) {
    if (id === from) continue;
    const [vx, vy] = [rect.x + rect.w / 2 - here.x - here.w / 2, rect.y + rect.h / 2 - here.y - here.h / 2];
    const ahead = vx * dx + vy * dy;
    const beside = Math.abs(vx * dy) + Math.abs(vy * dx);
    if (ahead <= 1 || beside > ahead * SIDEWAYS) continue;
    const cost = ahead + beside * SIDEWAYS;
    if (cost < bestCost) [best, bestCost] = [id, cost];
  }
  return best;
}

function thingsAt(scene: Scene, detail: Detail): [string, Bounds][] {
  if (detail === "grouped") return scene.groups.map((group) => [group.id, group]);
  if (detail === "folded") return scene.cards.map((card) => [card.id, card]);
  const boxes: [string, Bounds][] = [];
  for (const { card, box } of boxesOf(scene))
    boxes.push([box.id, { x: card.x + box.x, y: card.y + box.y, w: box.w, h: box.h }]);
  return boxes;
}
