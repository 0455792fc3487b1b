import { mount } from "svelte";
import Flows from "./Flows.svelte";

export interface TableWords {
  id: number;
  name: string;
  purpose: string;
}

export interface BridgeLink {
  host: string;
  bridge: string;
  url: string;
  foreign: boolean;
}

export function flows(element: HTMLElement): void {
  const topic = element.dataset.topic ?? "";
  const server = [...element.childNodes];
  mount(Flows, {
    target: element,
    props: {
      topic,
      teams: JSON.parse(element.dataset.teams ?? "[]") as string[],
      legend: given<TableWords>("flows-legend"),
      bridges: given<BridgeLink>("flows-bridges"),
      ready: () => {
        for (const node of server) node.parentNode?.removeChild(node);
      },
    },
  });
}

function given<T>(id: string): T[] {
  return JSON.parse(document.getElementById(id)?.textContent ?? "[]") as T[];
}
