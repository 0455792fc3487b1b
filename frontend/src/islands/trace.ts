import { mount } from "svelte";
import { count, rate } from "../core/format";
import type { Divergence } from "../core/lanes";
import { live } from "../core/socket";
import type { Trace } from "../core/trace";
import { inTurn } from "../core/turns";
import { renderAgain } from "./fields";
import TracePlayer from "./TracePlayer.svelte";

export interface TraceInput {
  uuid: string;
  state: string;
  trace: Trace | null;
  hosts: Record<string, string>;
  source: { name: string; host: string };
  target: { name: string; host: string };
  /** What a real packet did: null while it is under way, or on the way back, where none is sent. */
  probing: boolean;
  /** May there be real traffic to look at? A way from or to a NIC past Open vSwitch has none that a switch counts. */
  observable: boolean;
  probe: { trace: Trace; divergence: Divergence | null } | { refused: string } | null;
}

const OPEN = ["waiting", "running"];

export type Lane = "predicted" | "probed" | "observed";

export interface Connection {
  host: string;
  zone: number;
  protocol: string;
  state: string;
  timeout_s: number;
  original: string;
  reply: string;
  translated: boolean;
}

/** What real traffic does now, as `observed:<trace>` tells it for one direction. */
export interface Observed {
  trace: Trace;
  sentence: string;
  divergence: Divergence | null;
  pps: number;
  bps: number;
  packets: number;
  bytes: number;
  hop_pps: (number | null)[];
  connections: Connection[];
  explained_by: string;
}

export interface Reading {
  packets: number;
  bytes: number;
  pps: number;
  bps: number;
}

export function trace(element: HTMLElement): void {
  const input = readInput(element);
  if (!input) return;
  if (input.trace) draw(element, input, input.trace);
  else if (OPEN.includes(input.state)) awaitAnswer(element, input);
}

function readInput(element: HTMLElement): TraceInput | null {
  const text = element.querySelector("#trace-data")?.textContent;
  return text ? (JSON.parse(text) as TraceInput) : null;
}

function draw(element: HTMLElement, input: TraceInput, shown: Trace): void {
  const list = element.querySelector<HTMLElement>("[data-trace-list]");
  const stage = document.createElement("div");
  stage.className = "tr-stage";
  const answer = element.querySelector("[data-trace-answer]");
  const why = element.querySelector<HTMLDetailsElement>(".tr-why");
  // Below a drop stand the ways to mend it; what arrives is looked at first, and played with after.
  if (why && answer && shown.verdict !== "dropped") answer.after(why);
  const above = why ?? answer;
  if (above) above.after(stage);
  else element.prepend(stage);
  // The inspector tells the same of a drop, beside the step that decided it.
  if (why && shown.verdict === "dropped") why.open = false;
  mount(TracePlayer, { target: stage, props: { input, trace: shown, list } });
  element.classList.add("tr--drawn");
  if (list) countInList(list, input.uuid);
}

/** The numbers in the list's rows, as they change. */
function countInList(list: HTMLElement, uuid: string): void {
  const cells = [...list.querySelectorAll<HTMLElement>("[data-counter]")];
  live().join(`counters:${uuid}`, (change) => {
    for (const cell of cells) {
      const reading = change.view.state[cell.dataset.counter ?? ""] as Reading | undefined;
      if (reading) cell.textContent = `${count(reading.packets)} ${rate(reading.pps)}`.trim();
    }
  });
}

/** Waits for the worker's answer, then shows what the server renders; asks now and then in case an event was lost. */
function awaitAnswer(element: HTMLElement, input: TraceInput): void {
  // In turn: an answer that came after the drawing would replace what was drawn.
  const look = inTurn(async () => {
    if (!(await renderAgain(element))) return false;
    const now = readInput(element);
    if (!now || OPEN.includes(now.state)) return false;
    leave();
    clearInterval(timer);
    if (now.trace) draw(element, now, now.trace);
    return true;
  });
  const timer = setInterval(look, 2000);
  const leave = live().join(`trace:${input.uuid}`, (change) => {
    const told = change.kind === "event" ? change.event.data : change.view.state[`trace:${input.uuid}`];
    const state = (told as { state?: string } | undefined)?.state;
    if (state && !OPEN.includes(state)) look();
  });
}
