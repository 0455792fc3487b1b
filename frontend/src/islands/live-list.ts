/**
 * Keeps server-rendered rows true: `data-topic` names one topic or several (by space), `data-kinds` the kinds of object
 * that the list shows ("vm operation"); an object that has no row yet makes the island render itself again. So does a second
 * snapshot (events were missed): what came and what went meanwhile was told to nobody. With `data-whole` (a list that is
 * empty: its first row brings a head and buttons with it) the page is loaded again instead.
 */
import type { LiveEvent, View } from "../core/live";
import { live } from "../core/socket";
import { fillRow, renderAgain, rowsOf } from "./fields";

export function liveList(element: HTMLElement): void {
  const kinds = (element.dataset.kinds ?? "").split(" ").filter(Boolean);
  const isWhole = "whole" in element.dataset;
  const again = gathered(() => (isWhole ? location.reload() : void renderAgain(element)));
  const shows = (object: string): boolean =>
    kinds.length > 0 ? kinds.includes(kindOf(object)) : hasKind(element, kindOf(object));

  const onEvent = (event: LiveEvent): void => {
    const rows = rowsOf(element, event.object);
    if (event.type.endsWith(".deleted")) {
      for (const row of rows) row.remove();
      if (rows.length > 0 && !element.querySelector("[data-object]")) again();
    } else if (rows.length === 0) {
      if (shows(event.object)) again();
    } else for (const row of rows) fillRow(row, event.data);
  };

  const fetched = new Set<string>();
  const onSnapshot = (topic: string, view: View): void => {
    if (fetched.has(topic)) again();
    fetched.add(topic);
    for (const [object, data] of Object.entries(view.state)) {
      const rows = rowsOf(element, object);
      if (rows.length === 0 && !isWhole && kinds.includes(kindOf(object))) again();
      for (const row of rows) fillRow(row, data);
    }
  };

  for (const topic of (element.dataset.topic ?? "").split(" ").filter(Boolean)) {
    live().join(topic, (change) => {
      if (change.kind === "event") onEvent(change.event);
      else onSnapshot(topic, change.view);
    });
  }
}

function kindOf(object: string): string {
  return object.split(":")[0] ?? "";
}

function hasKind(element: HTMLElement, kind: string): boolean {
  const rows = element.querySelectorAll("[data-object]");
  return rows.length === 0 || element.querySelector(`[data-object^="${kind}:"]`) !== null;
}

/** Calls made in one moment become one, a little later. */
function gathered(callback: () => void): () => void {
  let due = false;
  return () => {
    if (due) return;
    due = true;
    setTimeout(() => {
      due = false;
      callback();
    }, 60);
  };
}
