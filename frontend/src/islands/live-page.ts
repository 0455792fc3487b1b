/**
 * Keeps the parts of a page true that the server words: when one of the objects `data-object` (by space) of topic
 * `data-topic` changes, elements with `data-part` are rendered again by the server and replaced where they differ.
 * So they are when an operation about one of the objects begins or ends, whoever began it: a plan, another window.
 * `data-kinds` names kinds of object ("vm check") of which every one counts; `data-every` looks again every so many seconds.
 * `data-fresh` says that the objects are changing now: the page looks once more when it has the snapshot.
 */
import { live } from "../core/socket";
import { mountIslands } from "./mount";

const GATHER_MS = 120;
const REST_SHARE = 4; // a page that takes long to make is asked for less often: at most a fifth of the time

export function livePage(element: HTMLElement): void {
  const objects = new Set((element.dataset.object ?? "").split(" ").filter(Boolean));
  const shown = new Map<string, string>();
  const kinds = new Set((element.dataset.kinds ?? "").split(" ").filter(Boolean));
  let due = false;
  let restUntil = 0;

  const look = async (): Promise<void> => {
    due = false;
    const began = performance.now();
    const answer = await fetch(location.href, { headers: { Accept: "text/html" } });
    if (answer.ok) replaceParts(new DOMParser().parseFromString(await answer.text(), "text/html"));
    const now = performance.now();
    restUntil = now + REST_SHARE * (now - began);
  };
  const soon = (): void => {
    if (due) return;
    due = true;
    setTimeout(() => void look(), Math.max(GATHER_MS, restUntil - performance.now()));
  };
  let first = true;

  live().join(element.dataset.topic ?? "", (change) => {
    const told = change.kind === "event" ? { [change.event.object]: change.event.data } : change.view.state;
    for (const [object, now] of countedOf(told, objects, kinds)) {
      const known = shown.get(object);
      shown.set(object, now);
      if (now !== known && (change.kind === "event" || known !== undefined)) soon();
    }
    // the page was made a moment before the first snapshot; a later one comes after events that were missed
    if (first ? "fresh" in element.dataset : change.kind === "snapshot") soon();
    first = false;
  });
  const everyS = Number(element.dataset.every ?? "0");
  if (everyS > 0)
    setInterval(() => {
      if (!document.hidden) soon();
    }, everyS * 1000);
}

/** What of a change counts, each with what it is now, as text: of an operation about one of the objects its state alone. */
export function countedOf(
  told: Record<string, unknown>,
  objects: ReadonlySet<string>,
  kinds: ReadonlySet<string>,
): [string, string][] {
  const counted: [string, string][] = [];
  for (const [object, now] of Object.entries(told)) {
    const kind = object.split(":")[0] ?? "";
    const about = now as { object_type?: string; object_uuid?: string; state?: string } | null;
    if (objects.has(object) || kinds.has(kind)) counted.push([object, JSON.stringify(now)]);
    else if (kind === "operation" && objects.has(`${about?.object_type}:${about?.object_uuid}`))
      counted.push([object, String(about?.state)]);
  }
  return counted;
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
