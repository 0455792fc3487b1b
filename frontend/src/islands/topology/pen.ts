/** Draws a picture on a canvas: what is on the screen only, and of that as much as can be read at the zoom. */

import { gettext, gettext_noop } from "../../core/gettext";
import { decimal } from "../../core/numbers";
import { type Camera, visible } from "../../core/topology/camera";
import { type Detail, detailAt } from "../../core/topology/detail";
import { cableRate } from "../../core/topology/lookup";
import { type Inventory, type Rate, SILENT } from "../../core/topology/model";
import type { Cable, Card, Group, Layer, Scene } from "../../core/topology/scene";
import { bitsText, widthOf } from "../../core/topology/traffic";
import { hostsWords } from "../../core/topology/words";
import { drawBox } from "./box-pen";
import { borderOf, drawFolded, drawGroup, drawShapes, drawTrace } from "./far-pen";
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

const LANES: Record<string, string> = {
  Guests: gettext_noop("Guests"),
  Taps: gettext_noop("Taps"),
  Bridge: gettext_noop("Bridge"),
  Tunnels: gettext_noop("Tunnels"),
  NICs: gettext_noop("NICs"),
};
const DIM = 0.25;
export const OFF = 0.07;

export class Pen {
  readonly rates = new Ratebook();
  readonly writing: Writing;
  private zoom = 1;

  constructor(
    readonly ctx: CanvasRenderingContext2D,
    public palette: Palette,
  ) {
    this.writing = new Writing(ctx);
  }

  draw(sheet: Sheet): void {
    const { ctx } = this;
    this.zoom = sheet.camera.z;
    this.toScreen(sheet);
    ctx.clearRect(0, 0, sheet.w, sheet.h);
    const detail = detailAt(sheet.scene, sheet.camera.z);
    if (detail === "grouped") {
      for (const group of sheet.scene.groups)
        if (visible(sheet.camera, group, sheet.w, sheet.h)) drawGroup(this, sheet, group);
      return;
    }
    for (const group of sheet.scene.groups)
      if (visible(sheet.camera, group, sheet.w, sheet.h)) this.frame(sheet, group);
    const all = sheet.scene.shared ? [...sheet.scene.cards, sheet.scene.shared] : sheet.scene.cards;
    const cards = all.filter((card) => visible(sheet.camera, card, sheet.w, sheet.h));
    if (detail === "folded") drawFolded(this, sheet, cards);
    else {
      for (const card of cards) this.ground(sheet, card, detail);
      this.cables(sheet);
      if (detail === "plain") drawShapes(this, sheet, cards);
      else for (const card of cards) this.boxes(sheet, card, detail);
    }
    if (detail === "full") {
      this.cableWords(sheet);
      this.laneNames(sheet, cards);
    }
    if (sheet.trace.length > 0 && detail !== "folded") drawTrace(this, sheet);
  }

  /** How bright a thing is: its layer may be off, or the light be on something else. */
  alpha(sheet: Sheet, id: string, layer: Layer): number {
    if (sheet.off.has(layer)) return OFF;
    return sheet.lit.size === 0 || sheet.lit.has(id) ? 1 : DIM;
  }

  toScreen(sheet: Sheet): void {
    this.ctx.setTransform(sheet.density, 0, 0, sheet.density, 0, 0);
    this.ctx.globalAlpha = 1;
  }

  toPicture(sheet: Sheet, x = 0, y = 0): void {
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
      ctx.strokeStyle = borderOf(this, sheet, card, card.id.slice("host:".length));
      ctx.setLineDash(host?.reached === false ? [6, 4] : []);
      ctx.stroke();
      ctx.setLineDash([]);
      this.heading(sheet, card, detail);
    }
  }

  /** What the lanes are, upright beside the first card of each row. */
  private laneNames(sheet: Sheet, cards: readonly Card[]): void {
    const { ctx } = this;
    const { colour, ui } = this.palette;
    const first = Math.min(...sheet.scene.cards.map((card) => card.x));
    for (const card of cards) {
      if (card.x !== first) continue;
      for (const lane of card.lanes) {
        this.toPicture(sheet, card.x - 7, card.y + lane.y + lane.h / 2);
        ctx.rotate(-Math.PI / 2);
        ctx.globalAlpha = sheet.off.has(lane.layer) ? OFF : 1;
        const style = { font: `500 10px ${ui}`, colour: colour[`l-${lane.layer}`] };
        const words = gettext(LANES[lane.name] ?? lane.name);
        const width = Math.min(lane.h - 2, this.writing.measure(words, style.font));
        this.writing.write(words, -width / 2, 0, lane.h - 2, style);
      }
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
    const state = host.reached
      ? host.seen
        ? gettext("answers")
        : gettext("not looked into")
      : gettext("does not answer");
    const used = host.vcpus
      ? gettext("%(vcpus_used)s of %(vcpus)s vCPU, %(ram_used)s of %(ram)s GiB", {
          vcpus_used: host.vcpus_used,
          vcpus: host.vcpus,
          ram_used: decimal(host.ram_used_mib / 1024, 1),
          ram: (host.ram_mib / 1024).toFixed(0),
        })
      : "";
    this.writing.write(used, 14, 40, card.w - 28, { font: `11px ${ui}`, colour: colour["text-3"] });
    this.writing.write(state, card.w - 14, 22, 110, {
      font: `11px ${ui}`,
      colour: host.reached ? colour["text-3"] : colour["v-dropped"],
      right: true,
    });
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
      const who =
        cable.hosts.length > 2 ? `VXLAN, ${hostsWords(cable.hosts.length)}` : cable.hosts.join(" ↔ ");
      const text = rate && sheet.inventory.traffic.size > 0 ? `${who}: ${bitsText(rate.bps)}` : who;
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

  /** Layers by line style too: overlay dashed, underlay double, what is inferred dotted. */
  line(points: readonly number[], layer: Layer, width: number, inferred: boolean): void {
    const { ctx } = this;
    const { colour } = this.palette;
    ctx.lineJoin = "round";
    const dash = inferred ? 2 : layer === "overlay" ? 8 : 0;
    const scale = Math.max(1, 0.9 / this.zoom); // as long on the screen from afar: short ones are dear, and not seen
    ctx.setLineDash(dash > 0 ? [dash * scale, 4 * scale] : []);
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

  path(points: readonly number[]): void {
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
