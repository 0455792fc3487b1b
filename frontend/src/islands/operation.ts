/** The stages of one operation, live. `data-topic` is the team's topic, `data-object` the operation. */
import { live } from "../core/socket";
import { fillRow, renderAgain } from "./fields";

interface Stage {
  position: number;
  state: string;
  detail?: string;
}

export function operation(element: HTMLElement): void {
  const object = element.dataset.object ?? "";
  let state = element.dataset.state ?? "";

  const show = (data: unknown): void => {
    if (data === null || typeof data !== "object") return;
    const now = data as { state?: string; stages?: Stage[] };
    fillRow(element, data);
    for (const stage of now.stages ?? []) {
      const row = element.querySelector<HTMLElement>(`[data-stage="${stage.position}"]`);
      if (!row) continue;
      row.dataset.state = stage.state;
      fillRow(row, stage);
    }
    const ended = ["done", "failed", "cancelled"].includes(now.state ?? "");
    if (ended && state !== "" && state !== now.state) void renderAgain(element);
    state = now.state ?? state;
    element.dataset.state = state;
  };

  live().join(element.dataset.topic ?? "", (change) => {
    if (change.kind === "event") {
      if (change.event.object === object) show(change.event.data);
    } else if (object in change.view.state) show(change.view.state[object]);
  });
}
