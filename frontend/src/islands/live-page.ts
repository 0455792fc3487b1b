/**
 * Keeps the parts of a page true that the server words: when one of the objects `data-object` (by space) of topic
 * `data-topic` changes, elements with `data-part` are rendered again by the server and replaced where they differ.
 * `data-fresh` says that the objects are changing now: the page looks once more when it has the snapshot.
 */
import { live } from "../core/socket";
import { mountIslands } from "./mount";

const GATHER_MS = 120;

export function livePage(element: HTMLElement): void {
  const objects = new Set((element.dataset.object ?? "").split(" ").filter(Boolean));
  const shown = new Map<string, string>();
  let due = false;

  const look = async (): Promise<void> => {
    due = false;
    const answer = await fetch(location.href, { headers: { Accept: "text/html" } });
    if (answer.ok) replaceParts(new DOMParser().parseFromString(await answer.text(), "text/html"));
  };
  const soon = (): void => {
    if (due) return;
    due = true;
    setTimeout(() => void look(), GATHER_MS);
  };
  let first = true;

  live().join(element.dataset.topic ?? "", (change) => {
    const told = change.kind === "event" ? { [change.event.object]: change.event.data } : change.view.state;
    for (const object of objects) {
      if (!(object in told)) continue;
      const now = JSON.stringify(told[object]);
      const known = shown.get(object);
      shown.set(object, now);
      if (now !== known && (change.kind === "event" || known !== undefined)) soon();
    }
    if (first && "fresh" in element.dataset) soon();
    first = false;
  });
}

/** Puts the fresh page's parts in place of this page's, leaving alone what is the same or has the focus. */
export function replaceParts(page: Document): void {
  for (const fresh of page.querySelectorAll<HTMLElement>("[data-part]")) {
    const old = document.querySelector<HTMLElement>(`[data-part="${fresh.dataset.part}"]`);
    if (!old || old.dataset.html === fresh.innerHTML) continue;
    if (old.contains(document.activeElement)) continue;
    old.replaceChildren(...[...fresh.childNodes].map((node) => document.importNode(node, true)));
    old.dataset.html = fresh.innerHTML;
    mountIslands(old);
  }
}
