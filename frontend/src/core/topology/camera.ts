/** What part of the picture is on the screen: screen = (picture - x, y) × z. */
import type { Bounds } from "./scene";

export interface Camera {
  x: number;
  y: number;
  z: number;
}

const MIN_ZOOM = 0.005;
const MAX_ZOOM = 4;

export function toScreen(camera: Camera, x: number, y: number): [number, number] {
  return [(x - camera.x) * camera.z, (y - camera.y) * camera.z];
}

export function toPicture(camera: Camera, x: number, y: number): [number, number] {
  return [x / camera.z + camera.x, y / camera.z + camera.y];
}

export function panned(camera: Camera, dx: number, dy: number): Camera {
  return { ...camera, x: camera.x - dx / camera.z, y: camera.y - dy / camera.z };
}

/** Zoomed so that the picture's point below (x, y) of the screen stays there. */
export function zoomed(camera: Camera, factor: number, x: number, y: number): Camera {
  const z = Math.min(MAX_ZOOM, Math.max(MIN_ZOOM, camera.z * factor));
  const [px, py] = toPicture(camera, x, y);
  return { x: px - x / z, y: py - y / z, z };
}

/** All of `bounds` on a screen of w × h, never larger than life. */
export function fitted(bounds: Bounds, w: number, h: number, margin = 24, most = 1): Camera {
  const z = Math.max(MIN_ZOOM, Math.min(most, (w - 2 * margin) / bounds.w, (h - 2 * margin) / bounds.h));
  return { x: bounds.x + bounds.w / 2 - w / 2 / z, y: bounds.y + bounds.h / 2 - h / 2 / z, z };
}

/** As `fitted`, at the top: what lies over the map stands along its lower edge. */
export function fittedAtTop(bounds: Bounds, w: number, h: number, margin = 24): Camera {
  const all = fitted(bounds, w, h, margin);
  return { ...all, y: bounds.y - margin / all.z };
}

/** The camera after moving as little as shows `rect`; the same one when it is shown already. */
export function showing(camera: Camera, rect: Bounds, w: number, h: number, margin = 40): Camera {
  const z = camera.z * rect.w < 14 ? Math.min(1, 220 / rect.w) : camera.z;
  const view = { w: w / z, h: h / z, m: margin / z };
  const along = (at: number, size: number, from: number, room: number): number => {
    if (size > room - 2 * view.m) return at + size / 2 - room / 2;
    return Math.min(Math.max(from, at + size + view.m - room), at - view.m);
  };
  if (z !== camera.z) return { x: rect.x + rect.w / 2 - view.w / 2, y: rect.y + rect.h / 2 - view.h / 2, z };
  return { x: along(rect.x, rect.w, camera.x, view.w), y: along(rect.y, rect.h, camera.y, view.h), z };
}

export function visible(camera: Camera, rect: Bounds, w: number, h: number): boolean {
  const [left, top] = toScreen(camera, rect.x, rect.y);
  return left < w && top < h && left + rect.w * camera.z > 0 && top + rect.h * camera.z > 0;
}
