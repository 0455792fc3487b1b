import { mount } from "svelte";
import Flows from "./Flows.svelte";

export interface TableWords {
  id: number;
  name: string;
  purpose: string;
}

export function flows(element: HTMLElement): void {
  const legend = JSON.parse(document.getElementById("flows-legend")?.textContent ?? "[]") as TableWords[];
  const topic = element.dataset.topic ?? "";
  const server = [...element.childNodes];
  mount(Flows, {
    target: element,
    props: {
      topic,
      legend,
      ready: () => {
        for (const node of server) node.parentNode?.removeChild(node);
      },
    },
  });
}
