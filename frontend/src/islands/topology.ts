import { mount } from "svelte";
import { live } from "../core/socket";
import type { Urls } from "../core/topology/links";
import Topology from "./Topology.svelte";

export interface TopologyInput {
  topic: string;
  operator: boolean;
  /** Small maps come with the page; null: fetch it from `urls.inventory`. */
  state: Record<string, unknown> | null;
  /** The instant that is drawn; "" the map is live. */
  past: string;
  /** When hosts changed, oldest first; none for who may not look back. */
  kept: string[];
  urls: Urls & { inventory: string; history: string; drops: string; traceAnswer: string; tracePage: string };
}

/** Finds its input and its tables in the element; the tables stay, for they say the same in words. */
export function topology(element: HTMLElement): void {
  const text = element.querySelector("#topology-data")?.textContent;
  const tables = element.querySelector<HTMLElement>("#topology-tables");
  if (!text || !tables) return;
  const input = JSON.parse(text) as TopologyInput;
  const stage = document.createElement("div");
  stage.className = "topo-stage";
  element.prepend(stage);
  mount(Topology, { target: stage, props: { input, tables, socket: live() } });
  element.classList.add("topo-page--drawn");
}
