/** Draws a picture on a canvas: what is on the screen only, and of that as much as can be read at the zoom. */

import { LAYERS } from "../../core/topology/address";
import { type Camera, toScreen, visible } from "../../core/topology/camera";
import { type Detail, detailAt } from "../../core/topology/detail";
import { cableRate, hostRate } from "../../core/topology/lookup";
import { type Inventory, type Rate, SILENT, sumOf } from "../../core/topology/model";
import {
  type Box,
  type Cable,
  type Card,
  findBox,
  type Group,
  type Layer,
  rectOf,
  type Scene,
} from "../../core/topology/scene";
import { bitsText, widthOf } from "../../core/topology/traffic";
import { drawBox } from "./box-pen";
import type { Palette } from "./palette";
import { Ratebook } from "./ratebook";
import { Writing } from "./writing";

export interface Sheet {
  scene: Scene;
  inventory: Inventory;
  camera: Camera;
  w: number;
  h: number;
  /** Device pixels per pixel. */
  density: number;
  off: ReadonlySet<Layer>;
  selected: string;
  second: string;
  /** What stays bright; empty: everything. */
  lit: ReadonlySet<string>;
  trace: readonly string[];
  traceDropped: boolean;
  nowS: number;
}

const WIDE = 250; // bridges and the wire: a trace goes in at one place and out at another
const TAP_W = 48;
export const DIM = 0.25;
export const OFF = 0.07;

export class Pen {
  readonly rates = new Ratebook();
  readonly writing: Writing;

  constructor(
    readonly ctx: CanvasRenderingContext2D,
    public palette: Palette,
  ) {
    this.writing = new Writing(ctx);
  }

  draw(sheet: Sheet): void {
    const { ctx } = this;
    this.toScreen(sheet);
    ctx.clearRect(0, 0, sheet.w, sheet.h);
    const detail = detailAt(sheet.scene, sheet.camera.z);
    if (detail === "grouped") {
      for (const group of sheet.scene.groups)
        if (visible(sheet.camera, group, sheet.w, sheet.h)) this.group(sheet, group);
      return;
    }
    for (const group of sheet.scene.groups)
      if (visible(sheet.camera, group, sheet.w, sheet.h)) this.frame(sheet, group);
    const all = sheet.scene.shared ? [...sheet.scene.cards, sheet.scene.shared] : sheet.scene.cards;
    const cards = all.filter((card) => visible(sheet.camera, card, sheet.w, sheet.h));
    if (detail === "folded") this.folded(sheet, cards);
    else {
      for (const card of cards) this.ground(sheet, card, detail);
      this.cables(sheet);
      if (detail === "plain") this.shapes(sheet, cards);
      else for (const card of cards) this.boxes(sheet, card, detail);
    }
    if (detail === "full") this.cableWords(sheet);
    if (sheet.trace.length > 0 && detail !== "folded") this.trace(sheet);
  }

  /** How bright a thing is: its layer may be off, or the light be on something else. */
  alpha(sheet: Sheet, id: string, layer: Layer): number {
    if (sheet.off.has(layer)) return OFF;
    return sheet.lit.size === 0 || sheet.lit.has(id) ? 1 : DIM;
  }

  private toScreen(sheet: Sheet): void {
    this.ctx.setTransform(sheet.density, 0, 0, sheet.density, 0, 0);
    this.ctx.globalAlpha = 1;
  }

  private toPicture(sheet: Sheet, x = 0, y = 0): void {
    const { camera, density } = sheet;
    const scale = camera.z * density;
    this.ctx.setTransform(scale, 0, 0, scale, (x - camera.x) * scale, (y - camera.y) * scale);
  }

  /** A card without what is in it: cables run over its lanes and behind its boxes. */
  private ground(sheet: Sheet, card: Card, detail: Detail): void {
    const { ctx } = this;
    const { colour } = this.palette;
    this.toPicture(sheet, card.x, card.y);
    if (card.lanes.length > 0) {
      const isLit = sheet.lit.size === 0 || sheet.lit.has(card.id);
      ctx.globalAlpha = isLit ? 1 : 0.6;
      const host = sheet.inventory.hosts.get(card.id.slice("host:".length));
      ctx.fillStyle = colour.surface;
      this.body(card, detail);
      ctx.fill();
      for (const lane of card.lanes) {
        ctx.globalAlpha = sheet.off.has(lane.layer) ? 0.3 : isLit ? 1 : 0.6;
        ctx.fillStyle = colour[`l-${lane.layer}-bg`];
        ctx.fillRect(1, lane.y, card.w - 2, lane.h);
      }
      ctx.globalAlpha = 1;
      this.round(0, 0, card.w, card.h, 10);
      ctx.lineWidth = card.id === sheet.selected ? 2.5 : 1;
      ctx.strokeStyle = this.border(sheet, card, card.id.slice("host:".length));
      ctx.setLineDash(host?.reached === false ? [6, 4] : []);
      ctx.stroke();
      ctx.setLineDash([]);
      this.heading(sheet, card, detail);
    }
  }

  private body(card: Card, detail: Detail): void {
    if (detail === "full") this.round(0, 0, card.w, card.h, 10);
    else {
      this.ctx.beginPath();
      this.ctx.rect(0, 0, card.w, card.h);
    }
  }

  private boxes(sheet: Sheet, card: Card, detail: Detail): void {
    const { ctx } = this;
    this.toPicture(sheet, card.x, card.y);
    const rates = this.rates.of(sheet.inventory, card, sheet.nowS);
    for (const [at, wire] of card.wires.entries()) {
      const rate = rates.wires[at] ?? SILENT;
      ctx.globalAlpha =
        Math.min(this.alpha(sheet, wire.from, wire.layer), this.alpha(sheet, wire.to, wire.layer)) *
        (rate.bps > 0 ? 0.85 : 0.45);
      this.line(wire.points, wire.layer, widthOf(rate.bps), wire.inferred);
    }
    for (const [at, box] of card.boxes.entries()) {
      ctx.globalAlpha = this.alpha(sheet, box.id, box.layer);
      drawBox(this, sheet, box, rates.boxes[at] ?? SILENT, detail);
    }
  }

  private heading(sheet: Sheet, card: Card, detail: Detail): void {
    const host = sheet.inventory.hosts.get(card.id.slice("host:".length));
    if (!host) return;
    const { colour, ui, mono } = this.palette;
    if (detail !== "full") {
      const size = Math.min(28, 12 / sheet.camera.z);
      this.writing.write(host.name, 12, 12 + size, card.w - 24, {
        font: `600 ${size}px ${ui}`,
        colour: colour.text,
      });
      return;
    }
    const bold = { font: `600 12px ${ui}`, colour: colour.text };
    const width = this.writing.write(host.name, 14, 22, 130, bold);
    this.writing.write(host.underlay_ip, 22 + width, 22, 130, {
      font: `10.5px ${mono}`,
      colour: colour["text-3"],
    });
    const state = host.reached ? (host.seen ? "answers" : "not looked into") : "does not answer";
    const used = host.vcpus
      ? `${host.vcpus_used} of ${host.vcpus} vCPU, ${(host.ram_used_mib / 1024).toFixed(1)} of ${(host.ram_mib / 1024).toFixed(0)} GiB`
      : "";
    this.writing.write(used, 14, 40, card.w - 28, { font: `11px ${ui}`, colour: colour["text-3"] });
    this.writing.write(state, card.w - 14, 22, 110, {
      font: `11px ${ui}`,
      colour: host.reached ? colour["text-3"] : colour["v-dropped"],
      right: true,
    });
  }

  /** Cards as lines: a name, what is on it, and what it carries. All shapes first, then all words of one font. */
  private folded(sheet: Sheet, cards: readonly Card[]): void {
    const { ctx } = this;
    const { colour, ui } = this.palette;
    this.toScreen(sheet);
    const cells = cards.map((card) => {
      const name = card.id.slice("host:".length);
      const [x, y] = toScreen(sheet.camera, card.x, card.y);
      const [w, h] = [card.w * sheet.camera.z, card.h * sheet.camera.z];
      return { card, name, x, y, w, h, rate: this.rates.host(sheet.inventory, name, sheet.nowS, hostRate) };
    });
    ctx.fillStyle = colour.surface;
    for (const { x, y, w, h } of cells) ctx.fillRect(x, y, w, h);
    for (const { card, name, x, y, w, h, rate } of cells) {
      ctx.strokeStyle = this.border(sheet, card, name);
      ctx.lineWidth = card.id === sheet.selected ? 2 : 1;
      ctx.strokeRect(x, y, w, h);
      ctx.fillStyle = colour["l-overlay"];
      ctx.globalAlpha = rate.bps > 0 ? 0.85 : 0.2;
      ctx.fillRect(x + 3, y + h - 6, Math.max(2, (w - 6) * Math.min(1, widthOf(rate.bps) / 12)), 3);
      ctx.globalAlpha = 1;
    }
    const bold = { font: `600 11px ${ui}`, colour: colour.text };
    const small = { font: `10px ${ui}`, colour: colour["text-3"] };
    for (const { name, x, y, w } of cells) if (w >= 44) this.writing.write(name, x + 4, y + 13, w - 20, bold);
    for (const { card, x, y, w, h, rate } of cells) {
      if (w < 44 || h < 34) continue;
      const guests = card.boxes.reduce((sum, box) => sum + (box.kind === "guest" ? 1 : 0), 0);
      this.writing.write(`${guests} VMs`, x + 4, y + 26, w - 8, small);
      if (h > 48) this.writing.write(bitsText(rate.bps), x + 4, y + 38, w - 8, small);
      if (rate.lost > 0) this.dropMark(x + w - 9, y + 9, 5);
    }
  }

  private border(sheet: Sheet, card: Card, host: string): string {
    const { colour } = this.palette;
    if (card.id === sheet.selected) return colour.accent;
    return sheet.inventory.hosts.get(host)?.reached === false ? colour["v-dropped"] : colour["line-strong"];
  }

  /** Cards whose words could not be read: their shapes, each colour in one go. */
  private shapes(sheet: Sheet, cards: readonly Card[]): void {
    const { ctx } = this;
    const { colour } = this.palette;
    this.toPicture(sheet);
    const hollow: [Card, Box][] = [];
    for (const layer of LAYERS) {
      const filled: [Card, Box, number][] = [];
      ctx.fillStyle = colour.surface;
      ctx.globalAlpha = sheet.off.has(layer) ? OFF : 1;
      for (const card of cards) {
        const rates = this.rates.of(sheet.inventory, card, sheet.nowS);
        for (const [at, box] of card.boxes.entries()) {
          if (box.layer !== layer) continue;
          const still = box.kind === "guest" && sheet.inventory.guests.get(box.id)?.state !== "running";
          if (box.h >= 14) ctx.fillRect(card.x + box.x, card.y + box.y, box.w, box.h);
          if (still) hollow.push([card, box]);
          else filled.push([card, box, rates.boxes[at]?.bps ?? 0]);
        }
      }
      ctx.fillStyle = colour[`l-${layer}`];
      const dim = sheet.off.has(layer) ? OFF : 1;
      for (const [card, box, bps] of filled) {
        ctx.globalAlpha =
          dim * (this.isDim(sheet, box.id) ? 0.12 : 0.22 + 0.6 * Math.min(1, (widthOf(bps) - 1) / 9));
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

  private isDim(sheet: Sheet, id: string): boolean {
    return sheet.lit.size > 0 && !sheet.lit.has(id);
  }

  private group(sheet: Sheet, group: Group): void {
    const { ctx } = this;
    const { colour, ui } = this.palette;
    this.toScreen(sheet);
    const [x, y] = toScreen(sheet.camera, group.x, group.y);
    const [w, h] = [group.w * sheet.camera.z, group.h * sheet.camera.z];
    this.round(x, y, w, h, 6);
    ctx.fillStyle = colour.surface;
    ctx.fill();
    ctx.strokeStyle = group.id === sheet.selected ? colour.accent : colour["line-strong"];
    ctx.lineWidth = group.id === sheet.selected ? 2 : 1;
    ctx.stroke();
    const rates = group.hosts.map((host) => this.rates.host(sheet.inventory, host, sheet.nowS, hostRate));
    const rate = sumOf(rates);
    const quiet = group.hosts.some((host) => sheet.inventory.hosts.get(host)?.reached === false);
    ctx.fillStyle = colour["l-overlay"];
    ctx.fillRect(x + 4, y + h - 8, Math.max(2, (w - 8) * Math.min(1, widthOf(rate.bps) / 16)), 4);
    if (w < 40) return;
    this.writing.write(group.name, x + 6, y + 15, w - 12, { font: `600 11px ${ui}`, colour: colour.text });
    this.writing.write(
      `${group.hosts.length} hosts${quiet ? ", not all answer" : ""}`,
      x + 6,
      y + 29,
      w - 12,
      { font: `11px ${ui}`, colour: quiet ? colour["v-dropped"] : colour["text-3"] },
    );
    if (h > 56)
      this.writing.write(bitsText(rate.bps), x + 6, y + 43, w - 12, {
        font: `11px ${ui}`,
        colour: colour["text-3"],
      });
    if (rate.lost > 0) this.dropMark(x + w - 11, y + 11, 6);
  }

  private frame(sheet: Sheet, group: Group): void {
    const { ctx } = this;
    const { colour, ui } = this.palette;
    this.toPicture(sheet);
    ctx.globalAlpha = 1;
    this.round(group.x, group.y, group.w, group.h, 24);
    ctx.strokeStyle = colour.line;
    ctx.lineWidth = 3;
    ctx.stroke();
    const size = Math.min(60, 13 / sheet.camera.z);
    this.writing.write(group.name, group.x + 30, group.y + 24 + size, group.w - 60, {
      font: `600 ${size}px ${ui}`,
      colour: colour["text-2"],
    });
  }

  private cables(sheet: Sheet): void {
    this.toPicture(sheet);
    for (const cable of sheet.scene.cables) {
      if (!reaches(sheet, cable)) continue;
      const rate = this.cableRate(sheet, cable);
      const chosen = cable.id === sheet.selected;
      this.ctx.globalAlpha = this.alpha(sheet, cable.id, cable.layer) * (rate && rate.bps > 0 ? 0.9 : 0.55);
      if (chosen) this.halo(cable.points, widthOf(rate?.bps ?? 0) + 7);
      this.line(
        cable.points,
        cable.layer,
        widthOf(rate?.bps ?? 0) + (cable.layer === "underlay" ? 2 : 0),
        cable.inferred,
      );
    }
  }

  private cableRate(sheet: Sheet, cable: Cable): Rate | null {
    return this.rates.cable(sheet.inventory, cable, sheet.nowS, cableRate);
  }

  private cableWords(sheet: Sheet): void {
    const { colour, ui } = this.palette;
    this.toPicture(sheet);
    for (const cable of sheet.scene.cables) {
      if (!cable.label || !reaches(sheet, cable)) continue;
      const rate = this.cableRate(sheet, cable);
      const who = cable.hosts.length > 2 ? `VXLAN, ${cable.hosts.length} hosts` : cable.hosts.join(" to ");
      const text = rate ? `${who}: ${bitsText(rate.bps)}` : who;
      this.ctx.globalAlpha = this.alpha(sheet, cable.id, cable.layer);
      const w = this.writing.measure(text, `11px ${ui}`) + 24;
      const [x, y] = [cable.label[0] - w / 2, cable.label[1] - 11];
      this.round(x, y, w, 22, 6);
      this.ctx.fillStyle = colour.surface;
      this.ctx.fill();
      this.ctx.lineWidth = cable.id === sheet.selected ? 2 : 1;
      this.ctx.strokeStyle = cable.id === sheet.selected ? colour.accent : colour["l-overlay-line"];
      this.ctx.stroke();
      this.writing.write(text, x + 12, y + 15, w, { font: `11px ${ui}`, colour: colour.text });
    }
  }

  /** The way of a trace through the middles of its boxes; where it ends is marked by shape and colour. */
  private trace(sheet: Sheet): void {
    const { ctx } = this;
    const points = wayThrough(sheet.scene, sheet.trace);
    this.toPicture(sheet);
    ctx.globalAlpha = 0.9;
    ctx.lineJoin = "round";
    const end = sheet.traceDropped ? this.palette.colour["v-dropped"] : this.palette.colour.accent;
    for (const [width, style] of [
      [8, this.palette.colour.surface],
      [4, end],
    ] as const) {
      ctx.lineWidth = width;
      ctx.strokeStyle = style;
      this.path(points);
      ctx.stroke();
    }
    const [x, y] = points.slice(-2);
    if (x === undefined || y === undefined) return;
    if (sheet.traceDropped) this.dropMark(x, y, 10);
    else {
      ctx.beginPath();
      ctx.arc(x, y, 8, 0, 7);
      ctx.fillStyle = this.palette.colour["v-delivered"];
      ctx.fill();
    }
  }

  /** Layers by line style too: overlay dashed, underlay double, what is inferred dotted. */
  line(points: readonly number[], layer: Layer, width: number, inferred: boolean): void {
    const { ctx } = this;
    const { colour } = this.palette;
    ctx.lineJoin = "round";
    ctx.setLineDash(inferred ? [2, 4] : layer === "overlay" ? [8, 4] : []);
    ctx.strokeStyle = colour[`l-${layer}`];
    const isDouble = layer === "underlay" && !inferred;
    ctx.lineWidth = isDouble ? width + 2.5 : width;
    this.path(points);
    ctx.stroke();
    if (isDouble) {
      ctx.strokeStyle = colour["l-underlay-bg"];
      ctx.lineWidth = Math.max(1, width - 0.5);
      ctx.stroke();
    }
    ctx.setLineDash([]);
  }

  private halo(points: readonly number[], width: number): void {
    this.ctx.strokeStyle = this.palette.colour["accent-weak"];
    this.ctx.lineWidth = width;
    this.path(points);
    this.ctx.stroke();
  }

  private path(points: readonly number[]): void {
    this.ctx.beginPath();
    for (let at = 0; at + 1 < points.length; at += 2) {
      const [x = 0, y = 0] = [points[at], points[at + 1]];
      if (at === 0) this.ctx.moveTo(x, y);
      else this.ctx.lineTo(x, y);
    }
  }

  round(x: number, y: number, w: number, h: number, radius: number): void {
    this.ctx.beginPath();
    this.ctx.roundRect(x, y, w, h, Math.min(radius, w / 2, h / 2));
  }

  /** Drops: an octagon with a cross, as a dropped verdict has. */
  dropMark(x: number, y: number, r: number): void {
    const { ctx } = this;
    const { colour } = this.palette;
    ctx.beginPath();
    for (let side = 0; side < 8; side++) {
      const angle = ((side + 0.5) * Math.PI) / 4;
      ctx.lineTo(x + r * Math.cos(angle), y + r * Math.sin(angle));
    }
    ctx.closePath();
    ctx.fillStyle = colour["v-dropped"];
    ctx.fill();
    ctx.strokeStyle = colour.surface;
    ctx.lineWidth = r / 4;
    ctx.beginPath();
    const arm = r * 0.4;
    ctx.moveTo(x - arm, y - arm);
    ctx.lineTo(x + arm, y + arm);
    ctx.moveTo(x + arm, y - arm);
    ctx.lineTo(x - arm, y + arm);
    ctx.stroke();
  }
}

/** Whether any of a cable may be on the screen. */
function reaches(sheet: Sheet, cable: Cable): boolean {
  let [left, top, right, bottom] = [1e9, 1e9, -1e9, -1e9];
  for (let at = 0; at + 1 < cable.points.length; at += 2) {
    const [x = 0, y = 0] = [cable.points[at], cable.points[at + 1]];
    [left, right] = [Math.min(left, x), Math.max(right, x)];
    [top, bottom] = [Math.min(top, y), Math.max(bottom, y)];
  }
  return visible(
    sheet.camera,
    { x: left - 8, y: top - 8, w: right - left + 16, h: bottom - top + 16 },
    sheet.w,
    sheet.h,
  );
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
