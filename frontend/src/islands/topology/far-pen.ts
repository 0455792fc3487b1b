/** What is drawn without words in boxes: shapes, folded cards, groups; and a trace's line over all of it. */
import { gettext } from "../../core/gettext";
import { LAYERS } from "../../core/topology/address";
import { toScreen } from "../../core/topology/camera";
import { hostRate } from "../../core/topology/lookup";
import { sumOf } from "../../core/topology/model";
import { type Box, type Card, findBox, type Group, rectOf, type Scene } from "../../core/topology/scene";
import { bitsText, widthOf } from "../../core/topology/traffic";
import { hostsWords } from "../../core/topology/words";
import { OFF, type Pen, type Sheet } from "./pen";

const WIDE = 250; // bridges and the wire: a trace goes in at one place and out at another
const TAP_W = 48;
const SLIM = 28; // what is lower is many: one rectangle each is enough

/** Cards as lines: a name, what is on it, and what it carries. All shapes first, then all words of one font. */
export function drawFolded(pen: Pen, sheet: Sheet, cards: readonly Card[]): void {
  const { ctx } = pen;
  const { colour, ui } = pen.palette;
  pen.toScreen(sheet);
  const cells = cards.map((card) => {
    const name = card.id.slice("host:".length);
    const [x, y] = toScreen(sheet.camera, card.x, card.y);
    const [w, h] = [card.w * sheet.camera.z, card.h * sheet.camera.z];
    return { card, name, x, y, w, h, rate: pen.rates.host(sheet.inventory, name, sheet.nowS, hostRate) };
  });
  ctx.fillStyle = colour.surface;
  for (const { x, y, w, h } of cells) ctx.fillRect(x, y, w, h);
  for (const { card, name, x, y, w, h, rate } of cells) {
    ctx.strokeStyle = borderOf(pen, sheet, card, name);
    ctx.lineWidth = card.id === sheet.selected ? 2 : 1;
    ctx.strokeRect(x, y, w, h);
    ctx.fillStyle = colour["l-overlay"];
    ctx.globalAlpha = rate.bps > 0 ? 0.85 : 0.2;
    ctx.fillRect(x + 3, y + h - 6, Math.max(2, (w - 6) * Math.min(1, widthOf(rate.bps) / 12)), 3);
    ctx.globalAlpha = 1;
  }
  const bold = { font: `600 11px ${ui}`, colour: colour.text };
  const small = { font: `10px ${ui}`, colour: colour["text-3"] };
  for (const { name, x, y, w } of cells) if (w >= 44) pen.writing.write(name, x + 4, y + 13, w - 20, bold);
  for (const { card, x, y, w, h, rate } of cells) {
    if (w < 44 || h < 34) continue;
    const guests = card.boxes.reduce((sum, box) => sum + (isVm(box) ? 1 : 0), 0);
    pen.writing.write(`${guests} VMs`, x + 4, y + 26, w - 8, small);
    if (h > 48) pen.writing.write(bitsText(rate.bps), x + 4, y + 38, w - 8, small);
    if (rate.lost > 0) pen.dropMark(x + w - 9, y + 9, 5);
  }
}

function isVm(box: Box): boolean {
  return box.kind === "guest" && !box.id.startsWith("namespace:");
}

export function borderOf(pen: Pen, sheet: Sheet, card: Card, host: string): string {
  const { colour } = pen.palette;
  if (card.id === sheet.selected) return colour.accent;
  return sheet.inventory.hosts.get(host)?.reached === false ? colour["v-dropped"] : colour["line-strong"];
}

/** Cards whose words could not be read: their shapes, each colour in one go. */
export function drawShapes(pen: Pen, sheet: Sheet, cards: readonly Card[]): void {
  const { ctx } = pen;
  const { colour } = pen.palette;
  pen.toPicture(sheet);
  const hollow: [Card, Box][] = [];
  for (const layer of LAYERS) {
    const filled: [Card, Box, number][] = [];
    ctx.fillStyle = colour.surface;
    ctx.globalAlpha = sheet.off.has(layer) ? OFF : 1;
    for (const card of cards) {
      const rates = pen.rates.of(sheet.inventory, card, sheet.nowS);
      for (const [at, box] of card.boxes.entries()) {
        if (box.layer !== layer) continue;
        const still = box.kind === "guest" && sheet.inventory.guests.get(box.id)?.state !== "running";
        if (box.h > SLIM) ctx.fillRect(card.x + box.x, card.y + box.y, box.w, box.h);
        if (still) hollow.push([card, box]);
        else filled.push([card, box, rates.boxes[at]?.bps ?? 0]);
      }
    }
    ctx.fillStyle = colour[`l-${layer}`];
    const dim = sheet.off.has(layer) ? OFF : 1;
    for (const [card, box, bps] of filled) {
      ctx.globalAlpha =
        dim * (isDim(sheet, box.id) ? 0.12 : 0.22 + 0.6 * Math.min(1, (widthOf(bps) - 1) / 9));
      ctx.fillRect(card.x + box.x, card.y + box.y, box.w, box.h);
    }
  }
  ctx.globalAlpha = sheet.off.has("guest") ? OFF : 1;
  ctx.strokeStyle = colour["l-guest-line"];
  ctx.lineWidth = 1 / sheet.camera.z;
  ctx.beginPath();
  for (const [card, box] of hollow) ctx.rect(card.x + box.x, card.y + box.y, box.w, box.h);
  ctx.stroke();
  ctx.strokeStyle = colour.accent;
  ctx.lineWidth = 2 / sheet.camera.z;
  const chosen = findBox(sheet.scene, sheet.selected);
  if (chosen)
    ctx.strokeRect(chosen.card.x + chosen.box.x, chosen.card.y + chosen.box.y, chosen.box.w, chosen.box.h);
  ctx.globalAlpha = 1;
}

function isDim(sheet: Sheet, id: string): boolean {
  return sheet.lit.size > 0 && !sheet.lit.has(id);
}

export function drawGroup(pen: Pen, sheet: Sheet, group: Group): void {
  const { ctx } = pen;
  const { colour, ui } = pen.palette;
  pen.toScreen(sheet);
  const [x, y] = toScreen(sheet.camera, group.x, group.y);
  const [w, h] = [group.w * sheet.camera.z, group.h * sheet.camera.z];
  pen.round(x, y, w, h, 6);
  ctx.fillStyle = colour.surface;
  ctx.fill();
  ctx.strokeStyle = group.id === sheet.selected ? colour.accent : colour["line-strong"];
  ctx.lineWidth = group.id === sheet.selected ? 2 : 1;
  ctx.stroke();
  const rates = group.hosts.map((host) => pen.rates.host(sheet.inventory, host, sheet.nowS, hostRate));
  const rate = sumOf(rates);
  const quiet = group.hosts.some((host) => sheet.inventory.hosts.get(host)?.reached === false);
  ctx.fillStyle = colour["l-overlay"];
  ctx.fillRect(x + 4, y + h - 8, Math.max(2, (w - 8) * Math.min(1, widthOf(rate.bps) / 16)), 4);
  if (w < 40) return;
  pen.writing.write(group.name, x + 6, y + 15, w - 12, { font: `600 11px ${ui}`, colour: colour.text });
  const hosts = hostsWords(group.hosts.length);
  const hostsText = quiet ? gettext("%(hosts)s, not all answer", { hosts }) : hosts;
  pen.writing.write(hostsText, x + 6, y + 29, w - 12, {
    font: `11px ${ui}`,
    colour: quiet ? colour["v-dropped"] : colour["text-3"],
  });
  if (h > 56)
    pen.writing.write(bitsText(rate.bps), x + 6, y + 43, w - 12, {
      font: `11px ${ui}`,
      colour: colour["text-3"],
    });
  if (rate.lost > 0) pen.dropMark(x + w - 11, y + 11, 6);
}

/** The way of a trace through the middles of its boxes; where it ends is marked by shape and colour. */
export function drawTrace(pen: Pen, sheet: Sheet): void {
  const { ctx } = pen;
  const points = wayThrough(sheet.scene, sheet.trace);
  pen.toPicture(sheet);
  ctx.globalAlpha = 0.9;
  ctx.lineJoin = "round";
  const end = sheet.traceDropped ? pen.palette.colour["v-dropped"] : pen.palette.colour.accent;
  for (const [width, style] of [
    [8, pen.palette.colour.surface],
    [4, end],
  ] as const) {
    ctx.lineWidth = width;
    ctx.strokeStyle = style;
    pen.path(points);
    ctx.stroke();
  }
  const [x, y] = points.slice(-2);
  if (x === undefined || y === undefined) return;
  if (sheet.traceDropped) pen.dropMark(x, y, 10);
  else {
    ctx.beginPath();
    ctx.arc(x, y, 8, 0, 7);
    ctx.fillStyle = pen.palette.colour["v-delivered"];
    ctx.fill();
  }
}

/** A trace's corners: below its guests, along the lower edge of what is wide, and beside the words of the rest. */
function wayThrough(scene: Scene, ids: readonly string[]): number[] {
  const rects = ids.map((id) => rectOf(scene, id));
  const xOf = (at: number): number | null => {
    const rect = rects[at];
    if (!rect || rect.w > WIDE) return null;
    const beside = rects[at - 1]?.w === TAP_W ? rects[at - 1] : rects[at + 1];
    if (ids[at]?.startsWith("vm:") && beside && beside.w < WIDE) {
      return Math.min(Math.max(beside.x + beside.w / 2, rect.x + 8), rect.x + rect.w - 8);
    }
    return rect.x + rect.w * (rect.w === TAP_W || ids[at]?.startsWith("vm:") ? 0.5 : 0.82);
  };
  const points: number[] = [];
  for (const [at, rect] of rects.entries()) {
    if (!rect) continue;
    const x = xOf(at);
    const y = ids[at]?.startsWith("vm:")
      ? rect.y + rect.h - 4
      : rect.y + (rect.w > WIDE ? rect.h - 7 : rect.h / 2);
    if (x !== null) points.push(x, y);
    else for (const next of [xOf(at - 1), xOf(at + 1)]) if (next !== null) points.push(next, y);
  }
  return points;
}
