/** The map on the page: holds inventory, picture and camera, draws when something changed, and answers the pointer. */
import {
  type Camera,
  fitted,
  fittedAtTop,
  panned,
  showing,
  toPicture,
  zoomed,
} from "../../core/topology/camera";
import { detailAt } from "../../core/topology/detail";
import { emptyInventory, type Inventory, inventoryOf, put } from "../../core/topology/model";
import { boxesOfTrace, litBy, type TraceHop } from "../../core/topology/paths";
import { FOLD_PAST } from "../../core/topology/physical";
import { type Direction, hit, neighbour } from "../../core/topology/pointing";
import { type Layer, rectOf, type Scene } from "../../core/topology/scene";
import { Layouter, type Maker } from "./layouter";
import { drawMini, fromMini } from "./mini";
import { onTheme, readPalette } from "./palette";
import { Pen, type Sheet } from "./pen";

interface Hooks {
  makeWorker(): Maker;
  /** The picture was made: for the first time, or again. */
  drawn(scene: Scene, tookMs: number): void;
  hovered(id: string): void;
  moved(camera: Camera): void;
  trouble(words: string): void;
}

const SMALL_PX = 600;
const MINI_EVERY_MS = 200;
const TRAFFIC_EVERY_MS = 500;

export class MapView {
  inventory: Inventory = emptyInventory();
  scene: Scene | null = null;
  camera: Camera | null = null;
  selected = "";
  second = "";
  off: ReadonlySet<Layer> = new Set();
  frames = 0;
  private hover = "";
  private hops: TraceHop[] = [];
  private dropped = false;
  private trace: string[] = [];
  private lit: ReadonlySet<string> = new Set();
  private pen: Pen;
  private layouter: Layouter;
  private due = false;
  private miniAt = 0;
  private ends: (() => void)[] = [];
  private size = { w: 0, h: 0 };
  /** Follow the picture with the whole of it in sight, until somebody moves. */
  private fitting = true;

  constructor(
    private canvas: HTMLCanvasElement,
    private mini: HTMLCanvasElement,
    private hooks: Hooks,
  ) {
    const ctx = canvas.getContext("2d");
    if (!ctx) throw new Error("this browser draws no canvas");
    this.pen = new Pen(ctx, readPalette(canvas.parentElement ?? document.body));
    this.layouter = new Layouter({
      make: () => hooks.makeWorker(),
      everything: () => this.everything(),
      drawn: (scene, tookMs) => this.take(scene, tookMs),
      trouble: (words) => hooks.trouble(words),
      later: (callback, delayMs) => window.setTimeout(callback, delayMs),
      never: (timer) => window.clearTimeout(timer),
    });
    const observer = new ResizeObserver(() => this.resize());
    observer.observe(canvas);
    const ticking = window.setInterval(() => this.draw(), TRAFFIC_EVERY_MS);
    const repaint = onTheme(() => {
      this.pen.palette = readPalette(canvas.parentElement ?? document.body);
      this.miniAt = 0;
      this.draw();
    });
    this.ends = [
      () => observer.disconnect(),
      () => window.clearInterval(ticking),
      repaint,
      () => this.layouter.end(),
    ];
    this.resize();
  }

  end(): void {
    for (const end of this.ends) end();
  }

  /** The whole state anew. */
  reset(state: Record<string, unknown>): void {
    this.inventory = inventoryOf(state);
    this.layouter.reset();
  }

  put(object: string, data: unknown): void {
    if (put(this.inventory, object, data)) this.layouter.take(object, data);
    this.draw();
  }

  show(view: Scene["view"]): void {
    if (this.layouter.view !== view) {
      this.fitting = true;
      this.trace = [];
    }
    this.layouter.show(view);
  }

  /** Lays a trace over the picture; none takes it away. */
  overlay(hops: TraceHop[], dropped: boolean): void {
    this.hops = hops;
    this.dropped = dropped;
    this.retrace();
    this.draw();
  }

  select(id: string, bringInSight = false): void {
    this.selected = id;
    this.light();
    const rect = bringInSight && this.scene ? rectOf(this.scene, id) : null;
    if (rect && this.camera) this.move(showing(this.camera, rect, this.size.w, this.size.h));
    this.draw();
  }

  look(off: ReadonlySet<Layer>): void {
    this.off = off;
    this.draw();
  }

  move(camera: Camera): void {
    this.camera = camera;
    this.fitting = false;
    this.hooks.moved(camera);
    this.draw();
  }

  pan(dx: number, dy: number): void {
    if (this.camera) this.move(panned(this.camera, dx, dy));
  }

  zoom(factor: number, x = this.size.w / 2, y = this.size.h / 2): void {
    if (this.camera) this.move(zoomed(this.camera, factor, x, y));
  }

  fit(): void {
    if (!this.scene) return;
    this.fitting = true;
    this.camera = fittedAtTop(this.scene.bounds, this.size.w, this.size.h);
    this.hooks.moved(this.camera);
    this.draw();
  }

  get isFitting(): boolean {
    return this.fitting;
  }

  /** Brings a thing into sight, large enough to be read. */
  bring(id: string): void {
    const rect = this.scene ? rectOf(this.scene, id) : null;
    if (!rect || !this.camera) return;
    const z = Math.max(this.camera.z, Math.min(1, 0.7));
    this.move({
      x: rect.x + rect.w / 2 - this.size.w / 2 / z,
      y: rect.y + rect.h / 2 - this.size.h / 2 / z,
      z,
    });
  }

  /** Fills the screen with one thing. */
  open(id: string): void {
    const rect = this.scene ? rectOf(this.scene, id) : null;
    if (rect) this.move(fitted(rect, this.size.w, this.size.h, 40, 1.4));
  }

  at(x: number, y: number): string {
    if (!this.scene || !this.camera) return "";
    const reach = 6 / this.camera.z;
    return hit(
      this.scene,
      detailAt(this.scene, this.camera.z),
      ...toPicture(this.camera, x, y),
      Math.min(reach, 20),
    );
  }

  walk(direction: Direction): string {
    if (!this.scene || !this.camera) return "";
    return neighbour(this.scene, detailAt(this.scene, this.camera.z), this.selected, direction);
  }

  point(x: number, y: number): void {
    const id = this.at(x, y);
    if (id === this.hover) return;
    this.hover = id;
    this.light();
    this.hooks.hovered(id);
    this.draw();
  }

  miniTo(x: number, y: number): void {
    if (!this.scene || !this.camera) return;
    const [px, py] = fromMini(this.scene, this.mini, x, y);
    this.move({
      ...this.camera,
      x: px - this.size.w / 2 / this.camera.z,
      y: py - this.size.h / 2 / this.camera.z,
    });
  }

  draw(): void {
    if (this.due) return;
    this.due = true;
    requestAnimationFrame(() => {
      this.due = false;
      this.paint();
    });
  }

  /** What a frame is made of, now. */
  sheet(): Sheet | null {
    if (!this.scene || !this.camera) return null;
    return {
      scene: this.scene,
      inventory: this.inventory,
      camera: this.camera,
      w: this.size.w,
      h: this.size.h,
      density: devicePixelRatio,
      off: this.off,
      selected: this.selected,
      second: this.second,
      lit: this.lit,
      trace: this.trace,
      traceDropped: this.dropped,
      nowS: Date.now() / 1000,
    };
  }

  private paint(): void {
    const sheet = this.sheet();
    if (!sheet || sheet.w === 0) return;
    this.pen.draw(sheet);
    this.frames++;
    const now = performance.now();
    if (now - this.miniAt < MINI_EVERY_MS) return;
    this.miniAt = now;
    drawMini(this.mini, sheet, this.pen.palette);
  }

  private take(scene: Scene, tookMs: number): void {
    this.scene = scene;
    if (this.fitting || !this.camera) this.camera = this.whole(scene);
    this.retrace();
    this.light();
    this.hooks.drawn(scene, tookMs);
    this.draw();
  }

  /** All of it; on a small screen, where all of a few cards could not be read, the first of them. */
  private whole(scene: Scene): Camera {
    const all = fittedAtTop(scene.bounds, this.size.w, this.size.h);
    const first = scene.cards[0];
    if (!first || scene.cards.length > FOLD_PAST || detailAt(scene, all.z) === "full") return all;
    return this.size.w < SMALL_PX ? fitted(first, this.size.w, this.size.h, 10) : all;
  }

  private retrace(): void {
    this.trace = this.scene ? boxesOfTrace(this.scene, this.inventory, this.hops) : [];
  }

  private light(): void {
    const on = this.hover || this.selected;
    const lights =
      on !== "" && !on.startsWith("host:") && !on.startsWith("group:") && !on.startsWith("wire:");
    this.lit = this.scene && lights ? litBy(this.inventory, this.scene, on) : new Set();
  }

  private resize(): void {
    const { clientWidth: w, clientHeight: h } = this.canvas;
    this.size = { w, h };
    this.canvas.width = Math.round(w * devicePixelRatio);
    this.canvas.height = Math.round(h * devicePixelRatio);
    this.pen.writing.forget();
    if (this.fitting && this.scene) this.camera = this.whole(this.scene);
    this.draw();
  }

  private everything(): [string, unknown][] {
    const { hosts, guests, networks, routers } = this.inventory;
    const named = <T>(kind: string, map: Map<string, T>): [string, unknown][] =>
      [...map].map(([name, data]) => [`${kind}:${name}`, data]);
    const all = [...guests].map(([id, guest]): [string, unknown] =>
      guest.kind === "foreign"
        ? [id, { ...guest, uuid: "", taps: guest.nics.map((nic) => nic.tap) }]
        : [id, guest.space ?? guest],
    );
    return [...named("host", hosts), ...all, ...named("network", networks), ...named("router", routers)];
  }
}
