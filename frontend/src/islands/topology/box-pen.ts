/** One box, by its kind and by how much of it can be read. */
import { gettext } from "../../core/gettext";
import type { Detail } from "../../core/topology/detail";
import type { GuestData, Rate } from "../../core/topology/model";
import type { Box } from "../../core/topology/scene";
import { bitsText, widthOf } from "../../core/topology/traffic";
import { type Label, labelOf, stateWords } from "../../core/topology/words";
import type { ColourName } from "./palette";
import type { Pen, Sheet } from "./pen";

const TALL = 40; // room for three lines
const LINE = 28; // room for two
const NARROW = 250; // no room for a line's words beside the title

function isTwoLines(w: number, h: number): boolean {
  return h > TALL || (h > LINE && w < NARROW);
}

export function drawBox(pen: Pen, sheet: Sheet, box: Box, rate: Rate, detail: Detail): void {
  const { ctx } = pen;
  const guest = box.kind === "guest" ? sheet.inventory.guests.get(box.id) : undefined;
  if (box.h < 14) {
    tiny(pen, sheet, box, guest, rate);
    return;
  }
  const label = labelOf(sheet.inventory, box);
  outline(pen, sheet, box, guest, label);
  if (detail === "full") words(pen, box, label, guest, rate);
  if (box.kind === "guest" && rate.bps > 0) {
    ctx.fillStyle = pen.palette.colour["l-guest"];
    ctx.fillRect(box.x + 5, box.y + box.h - 4, (box.w - 10) * Math.min(1, widthOf(rate.bps) / 12), 2);
  }
  if (rate.lost > 0 && box.ports.length === 1 && box.ports[0] !== "")
    pen.dropMark(box.x + box.w - 3, box.y + 3, 6);
}

/** A cell of a dense card: filled by what it carries; not running is hollow. */
function tiny(pen: Pen, sheet: Sheet, box: Box, guest: GuestData | undefined, rate: Rate): void {
  const { ctx } = pen;
  const { colour } = pen.palette;
  const alpha = ctx.globalAlpha;
  const running = guest?.state === "running";
  ctx.fillStyle = running ? colour["l-guest"] : colour.surface;
  ctx.globalAlpha = alpha * (running ? 0.25 + 0.75 * Math.min(1, (widthOf(rate.bps) - 1) / 8) : 1);
  ctx.fillRect(box.x, box.y, box.w, box.h);
  ctx.globalAlpha = alpha;
  if (!running || box.id === sheet.selected || rate.lost > 0) {
    ctx.strokeStyle =
      box.id === sheet.selected
        ? colour.accent
        : rate.lost > 0
          ? colour["v-dropped"]
          : colour["l-guest-line"];
    ctx.lineWidth = box.id === sheet.selected ? 2.5 : 1;
    ctx.strokeRect(box.x + 0.5, box.y + 0.5, box.w - 1, box.h - 1);
  }
}

function outline(pen: Pen, sheet: Sheet, box: Box, guest: GuestData | undefined, label: Label): void {
  const { ctx } = pen;
  const { colour } = pen.palette;
  const { foreign, down } = label;
  const chosen = box.id === sheet.selected || box.id === sheet.second;
  const lit = sheet.lit.size > 0 && sheet.lit.has(box.id);
  if (guest && !foreign && !down && !chosen && !lit && box.h <= LINE) {
    slim(pen, box, guest);
    return;
  }
  pen.round(box.x, box.y, box.w, box.h, 6);
  const fill: ColourName = foreign
    ? "v-flooded-bg"
    : box.kind === "network"
      ? `l-${box.layer}-bg`
      : "surface";
  ctx.fillStyle = colour[fill];
  ctx.fill();
  const quiet = guest !== undefined && guest.state !== "running";
  ctx.setLineDash(quiet || down || box.kind === "others" || box.id.startsWith("nic:") ? [4, 3] : []);
  ctx.lineWidth = chosen ? 2.5 : lit ? 1.6 : 1;
  ctx.strokeStyle =
    chosen || lit
      ? colour.accent
      : foreign
        ? colour["v-flooded"]
        : colour[down ? "v-dropped" : borderOf(box)];
  ctx.stroke();
  ctx.setLineDash([]);
}

/** A guest of a crowded card: plain rectangles, for there are thousands. */
function slim(pen: Pen, box: Box, guest: GuestData): void {
  const { ctx } = pen;
  const { colour } = pen.palette;
  ctx.fillStyle = colour.surface;
  ctx.fillRect(box.x, box.y, box.w, box.h);
  ctx.lineWidth = 1;
  ctx.strokeStyle = guest.state === "running" ? colour["line-strong"] : colour["l-guest-line"];
  ctx.strokeRect(box.x + 0.5, box.y + 0.5, box.w - 1, box.h - 1);
}

function borderOf(box: Box): ColourName {
  if (box.kind === "guest" || box.kind === "others") return "line-strong";
  return box.kind === "bridge" ? "l-host" : `l-${box.layer}-line`;
}

function words(
  pen: Pen,
  box: Box,
  label: ReturnType<typeof labelOf>,
  guest: GuestData | undefined,
  rate: Rate,
): void {
  const { colour, ui, mono } = pen.palette;
  const { x, y, w, h } = box;
  const room = w - 16 - (guest ? 14 : 0);
  const title = {
    font: `${box.kind === "bridge" || box.kind === "network" ? 600 : 500} ${w < 60 ? 10.5 : 12}px ${ui}`,
    colour: colour.text,
  };
  const small = { font: `${label.mono ? `10.5px ${mono}` : `10.5px ${ui}`}`, colour: colour["text-3"] };
  const carried = rate.bps > 0 ? bitsText(rate.bps) : "";
  const left = x + (w < 60 ? 5 : 9);
  if (guest) stateMark(pen, guest.state, x + w - 13, y + (h > LINE ? 13 : h / 2));
  if (box.kind === "network" || box.kind === "wire" || box.kind === "bridge" || box.kind === "taps") {
    const first = h > TALL ? 19 : isTwoLines(w, h) ? 17 : h / 2 + 4;
    const width = pen.writing.write(label.title, left, y + first, room, title);
    const below = isTwoLines(w, h);
    const line = y + (h > TALL ? 34 : 30);
    pen.writing.write(
      label.line,
      below ? left : left + width + 12,
      below ? line : y + h / 2 + 4,
      below ? w - (w < NARROW ? 80 : 100) : w - width - 120,
      small,
    );
    pen.writing.write(carried, x + w - 9, below ? line : y + h / 2 + 4, w < NARROW ? 70 : 90, {
      font: `11px ${ui}`,
      colour: colour["text-2"],
      right: true,
    });
    return;
  }
  if (box.kind === "others") {
    lock(pen, x + 14, y + h / 2);
    pen.writing.write(label.title, x + 26, y + h / 2 + 4, w - 110, {
      font: `11px ${ui}`,
      colour: colour["text-3"],
    });
    pen.writing.write(carried, x + w - 9, y + h / 2 + 4, 80, {
      font: `11px ${ui}`,
      colour: colour["text-3"],
      right: true,
    });
    return;
  }
  pen.writing.write(label.title, left, y + (h > LINE ? 17 : h / 2 + 4), w < 60 ? w - 8 : room, title);
  if (h <= LINE) return;
  const tight = { ...small, font: `${w < 60 ? 9 : 10.5}px ${label.mono && w >= 60 ? mono : ui}` };
  pen.writing.write(
    label.line,
    left,
    y + (h > TALL ? 33 : 30 - (w < 60 ? 3 : 0)),
    w < 60 ? w - 8 : w - 16,
    tight,
  );
  if (h <= TALL) return;
  const state =
    guest && guest.state !== "running"
      ? stateWords(guest.state)
      : guest?.ram_mib
        ? `${guest.ram_mib} ${gettext("MiB")}`
        : "";
  const last = { font: `11px ${ui}`, colour: colour["text-3"] };
  const used = pen.writing.write(state, left, y + h - 12, w - 16, last);
  pen.writing.write(carried, x + w - 8, y + h - 12, w - 22 - used, {
    ...last,
    colour: colour["text-2"],
    right: true,
  });
}

/** By shape: a triangle runs, a square is stopped, a ring is on its way, an octagon crashed. */
function stateMark(pen: Pen, state: string, x: number, y: number): void {
  const { ctx } = pen;
  const { colour } = pen.palette;
  if (state === "crashed") {
    pen.dropMark(x, y, 5);
    return;
  }
  ctx.beginPath();
  if (state === "running") {
    ctx.moveTo(x - 3, y - 4);
    ctx.lineTo(x + 4, y);
    ctx.lineTo(x - 3, y + 4);
    ctx.closePath();
    ctx.fillStyle = colour["v-delivered"];
    ctx.fill();
    return;
  }
  ctx.lineWidth = 1.5;
  ctx.strokeStyle =
    state === "stopped" ? colour["text-3"] : state === "unknown" ? colour["v-unknown"] : colour.accent;
  if (state === "stopped") ctx.rect(x - 3, y - 3, 6, 6);
  else ctx.arc(x, y, 4, 0, state === "unknown" ? 7 : 4.6);
  ctx.stroke();
}

function lock(pen: Pen, x: number, y: number): void {
  const { ctx } = pen;
  ctx.strokeStyle = pen.palette.colour["text-3"];
  ctx.lineWidth = 1.2;
  ctx.strokeRect(x - 4, y - 1, 8, 6);
  ctx.beginPath();
  ctx.arc(x, y - 1, 2.6, Math.PI, 0);
  ctx.stroke();
}
