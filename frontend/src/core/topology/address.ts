/** What the reader looks at, as words of the address: a link shows the same picture. */
import type { Camera } from "./camera";
import type { Layer } from "./scene";

export interface Look {
  view: "physical" | "logical" | "table";
  off: ReadonlySet<Layer>;
  selected: string;
  trace: string;
  /** The instant that the map is of; "" is now. */
  when: string;
  /** None: the whole picture. */
  camera: Camera | null;
}

export const LAYERS: readonly Layer[] = ["guest", "host", "overlay", "underlay"];
const VIEWS = ["physical", "logical", "table"] as const;

export function lookOf(search: string): Look {
  const words = new URLSearchParams(search);
  const [x = Number.NaN, y = Number.NaN, z = Number.NaN] = (words.get("at") ?? "")
    .split(",")
    .map(Number.parseFloat);
  const off = (words.get("off") ?? "")
    .split(",")
    .filter((word): word is Layer => LAYERS.includes(word as Layer));
  const camera = [x, y, z].every(Number.isFinite) && z > 0 ? { x, y, z } : null;
  return {
    view: VIEWS.find((view) => view === words.get("view")) ?? "physical",
    off: new Set(off),
    selected: words.get("sel") ?? "",
    trace: words.get("trace") ?? "",
    when: words.get("when") ?? "",
    camera,
  };
}

export function searchOf(look: Look): string {
  const words = new URLSearchParams();
  if (look.view !== "physical") words.set("view", look.view);
  if (look.off.size > 0) words.set("off", [...look.off].sort().join(","));
  if (look.selected) words.set("sel", look.selected);
  if (look.trace) words.set("trace", look.trace);
  if (look.when) words.set("when", look.when);
  const { camera } = look;
  if (camera) words.set("at", `${camera.x.toFixed(0)},${camera.y.toFixed(0)},${camera.z.toPrecision(3)}`);
  const text = words.toString();
  return text ? `?${text.replaceAll("%2C", ",").replaceAll("%3A", ":").replaceAll("%2F", "/")}` : "";
}
