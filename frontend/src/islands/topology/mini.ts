/** The whole picture, small, and where the screen is in it. */
import type { Scene } from "../../core/topology/scene";
import type { Palette } from "./palette";
import type { Sheet } from "./pen";

const PAD = 5;

export function drawMini(canvas: HTMLCanvasElement, sheet: Sheet, palette: Palette): void {
  const ctx = canvas.getContext("2d");
  const [w, h] = [canvas.clientWidth, canvas.clientHeight];
  if (!ctx || w === 0) return;
  if (canvas.width !== Math.round(w * sheet.density)) {
    canvas.width = Math.round(w * sheet.density);
    canvas.height = Math.round(h * sheet.density);
  }
  const { scale, x, y } = placing(sheet.scene, w, h);
  ctx.setTransform(sheet.density, 0, 0, sheet.density, 0, 0);
  ctx.clearRect(0, 0, w, h);
  const at = (px: number, py: number): [number, number] => [
    x + (px - sheet.scene.bounds.x) * scale,
    y + (py - sheet.scene.bounds.y) * scale,
  ];
  for (const card of sheet.scene.cards) {
    const [left, top] = at(card.x, card.y);
    ctx.fillStyle = palette.colour["line-strong"];
    ctx.fillRect(left, top, Math.max(1, card.w * scale - 0.5), Math.max(1, card.h * scale - 0.5));
    if (card.w * scale < 14) continue;
    for (const lane of card.lanes) {
      ctx.fillStyle = palette.colour[`l-${lane.layer}-line`];
      ctx.fillRect(left + 1, top + lane.y * scale, card.w * scale - 2.5, lane.h * scale - 0.5);
    }
  }
  const { shared } = sheet.scene;
  if (shared) {
    const [left, top] = at(shared.x, shared.y);
    ctx.fillStyle = palette.colour["l-underlay-line"];
    ctx.fillRect(left, top, shared.w * scale, Math.max(2, shared.h * scale));
  }
  const [left, top] = at(sheet.camera.x, sheet.camera.y);
  ctx.strokeStyle = palette.colour.accent;
  ctx.lineWidth = 1.5;
  const [right, bottom] = [
    left + (sheet.w / sheet.camera.z) * scale,
    top + (sheet.h / sheet.camera.z) * scale,
  ];
  const [l, t] = [Math.max(1, left), Math.max(1, top)];
  ctx.strokeRect(l, t, Math.min(w - 1, right) - l, Math.min(h - 1, bottom) - t);
}

/** The picture's point below a point of the small one. */
export function fromMini(scene: Scene, canvas: HTMLCanvasElement, mx: number, my: number): [number, number] {
  const { scale, x, y } = placing(scene, canvas.clientWidth, canvas.clientHeight);
  return [(mx - x) / scale + scene.bounds.x, (my - y) / scale + scene.bounds.y];
}

function placing(scene: Scene, w: number, h: number): { scale: number; x: number; y: number } {
  const scale = Math.min((w - 2 * PAD) / scene.bounds.w, (h - 2 * PAD) / scene.bounds.h);
  return { scale, x: (w - scene.bounds.w * scale) / 2, y: (h - scene.bounds.h * scale) / 2 };
}
