/**
 * The map under load, driven from outside: `window.bench`. The island is the product's own, the inventory is generated,
 * and changes come as text over the product's own live socket, 20 frames a second as the server sends them.
 */
import "../fonts.css";
import { mount } from "svelte";
import { LiveSocket, type Wire } from "../core/socket";
import Topology from "../islands/Topology.svelte";
import type { MapView } from "../islands/topology/view";
import { generate, guestNumber, hostName } from "./generate";

interface Load {
  hosts: number;
  guestsPerHost: number;
  changesPerS: number;
}

const FRAME_MS = 50;
const NO_URLS = {
  vm: "",
  trace: "",
  flows: "",
  networks: "",
  host: "",
  packet: "",
  inventory: "",
  traceAnswer: "",
  tracePage: "",
};

let seq = 1;
let sent = 0;
let due = 0;
let current: Record<string, unknown> = {};
let view: MapView | null = null;
const wire: Wire = {
  send: () => undefined,
  close: () => undefined,
  onopen: null,
  onclose: null,
  onmessage: null,
};
const socket = new LiveSocket({
  open: () => {
    setTimeout(() => wire.onopen?.(new Event("open")));
    return wire;
  },
  snapshot: async () => ({ seq, state: current }),
  later: (callback, delayMs) => void setTimeout(callback, delayMs),
});

/** Mounts the island with an inventory, and tells how long it took until something was on the canvas. */
async function begin({ hosts, guestsPerHost, changesPerS }: Load): Promise<number> {
  const target = document.getElementById("stage");
  if (!target) throw new Error("no stage");
  const state = generate({ hosts, guestsPerHost });
  current = state;
  const text = JSON.stringify(state); // as it comes with the page
  const began = performance.now();
  const input = {
    topic: "topology",
    past: "",
    kept: [],
    operator: true,
    state: JSON.parse(text) as Record<string, unknown>,
    urls: NO_URLS,
  };
  mount(Topology, {
    target,
    props: { input, tables: null, socket, ready: (made: MapView) => (view = made) },
  });
  await until(() => (view?.frames ?? 0) > 0);
  await nextFrame();
  const took = performance.now() - began;
  wire.onmessage?.(new MessageEvent("message", { data: JSON.stringify({ joined: "topology", seq }) }));
  const from = performance.now();
  setInterval(() => {
    due = ((performance.now() - from) * changesPerS) / 1000; // a late timer sends what it owes
    change(state, hosts, guestsPerHost);
  }, FRAME_MS);
  return took;
}

/** What arrives in one frame: states and addresses mostly, traffic, and now and then a guest that comes or goes. */
function change(state: Record<string, unknown>, hosts: number, guestsPerHost: number): void {
  const events: unknown[] = [];
  while (sent < due) {
    sent++;
    const at = (sent * 7919) % hosts;
    const serial = at * guestsPerHost + ((sent * 31) % guestsPerHost);
    const teller = Math.floor(sent / 5) % hosts;
    if (sent % 5 === 0)
      events.push(event("traffic.changed", `traffic:${hostName(teller)}`, traffic(teller, guestsPerHost)));
    else if (sent % 50 === 1) events.push(event("vm.deleted", `vm:g${serial}`, {}));
    else {
      const guest = {
        ...guestNumber(serial, hostName(at), serial % 3),
        state: sent % 3 ? "running" : "stopped",
      };
      events.push(event("vm.changed", `vm:g${serial}`, guest));
      state[`vm:g${serial}`] = guest;
    }
  }
  if (events.length > 0) wire.onmessage?.(new MessageEvent("message", { data: JSON.stringify(events) }));
}

function event(type: string, object: string, data: unknown): unknown {
  seq++;
  return { seq, at: new Date().toISOString(), topic: "topology", type, object, data };
}

function traffic(host: number, guestsPerHost: number): unknown {
  const ports: Record<string, number[]> = {
    vxlan0: [900, 900, 2e7 * (1 + (sent % 7)), 1e7, 0],
    eth0: [900, 900, 3e7, 1e7, 0],
  };
  for (let number = 0; number < guestsPerHost; number++) {
    const bps = ((sent * 37 + number * 101) % 1000) * 1e4;
    ports[`vnet${host * guestsPerHost + number}`] = [bps / 8e3, 10, bps, bps / 10, number % 97 === 0 ? 2 : 0];
  }
  return { at: Date.now() / 1000, ports };
}

/** Pans in a circle at a zoom for a time, drawing in every frame; the frames that the browser really gave. */
async function pan(
  z: number,
  forMs: number,
): Promise<{ fps: number; slowestMs: number; drawn: number; changes: number }> {
  if (!view?.scene) throw new Error("nothing is drawn");
  const { bounds } = view.scene;
  view.move({ x: bounds.x + bounds.w * 0.3, y: bounds.y + bounds.h * 0.3, z });
  const [began, frames, before] = [performance.now(), view.frames, sent];
  let [last, slowestMs, count] = [began, 0, 0];
  while (performance.now() - began < forMs) {
    const angle = (performance.now() - began) / 700;
    view.pan(14 * Math.cos(angle), 14 * Math.sin(angle));
    await nextFrame();
    const now = performance.now();
    slowestMs = Math.max(slowestMs, now - last);
    last = now;
    count++;
  }
  const tookS = (performance.now() - began) / 1000;
  return {
    fps: count / tookS,
    slowestMs,
    drawn: (view.frames - frames) / tookS,
    changes: (sent - before) / tookS,
  };
}

/** The browser's frames with nothing to draw: the most that this machine gives. */
async function idle(forMs: number): Promise<number> {
  const began = performance.now();
  let count = 0;
  while (performance.now() - began < forMs) {
    await nextFrame();
    count++;
  }
  return (count * 1000) / (performance.now() - began);
}

function fitZoom(): number {
  view?.fit();
  return view?.camera?.z ?? 1;
}

function nextFrame(): Promise<void> {
  return new Promise((resolve) => requestAnimationFrame(() => resolve()));
}

async function until(predicate: () => boolean): Promise<void> {
  while (!predicate()) await nextFrame();
}

Object.assign(window, { bench: { begin, pan, idle, fitZoom } });
