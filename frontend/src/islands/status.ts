/** The status line: is the event stream open, and how old is what we know of each host. */
import { type Connection, live } from "../core/socket";
import { rowsOf } from "./fields";

const WORDS: Record<Connection, string> = {
  connecting: "Connecting…",
  live: "Live",
  reconnecting: "Reconnecting…",
};
const STALE_S = 5;

export function status(element: HTMLElement): void {
  const dot = element.querySelector<HTMLElement>("[data-connection]");
  live().onStatus((connection) => {
    if (!dot) return;
    dot.textContent = WORDS[connection];
    dot.classList.toggle("fresh--stale", connection !== "live");
    dot.dataset.connection = connection;
  });
  for (const topic of (element.dataset.topic ?? "").split(" ").filter(Boolean)) {
    live().join(topic, (change) => {
      const state =
        change.kind === "event" ? { [change.event.object]: change.event.data } : change.view.state;
      for (const [object, data] of Object.entries(state)) seen(element, object, data);
    });
  }
  tick(element);
  setInterval(() => tick(element), 1000);
}

/** The dot alone: an empty element that says whether the event stream is open. */
export function connection(element: HTMLElement): void {
  element.classList.add("fresh");
  element.dataset.connection = "";
  live().onStatus((now) => {
    element.textContent = WORDS[now];
    element.classList.toggle("fresh--stale", now !== "live");
    element.dataset.connection = now;
  });
}

function seen(element: HTMLElement, object: string, data: unknown): void {
  const at = seenAt(data);
  if (!at) return;
  for (const row of rowsOf(element, object)) row.dataset.seenAt = at;
}

/** The older of both daemons' times: a host is as fresh as what we know least of. */
function seenAt(data: unknown): string {
  if (data === null || typeof data !== "object") return "";
  const host = data as { seen_at?: string; libvirt_seen_at?: string; ovs_seen_at?: string };
  const times = [host.seen_at, host.libvirt_seen_at, host.ovs_seen_at].filter(
    (time) => typeof time === "string",
  );
  return times.sort()[0] ?? "";
}

export function ageText(ageS: number): string {
  if (ageS < 10) return `${ageS.toFixed(1)} s`;
  if (ageS < 120) return `${ageS.toFixed(0)} s`;
  return ageS < 7200 ? `${(ageS / 60).toFixed(0)} min` : `${(ageS / 3600).toFixed(0)} h`;
}

function tick(element: HTMLElement): void {
  for (const row of element.querySelectorAll<HTMLElement>("[data-seen-at]")) {
    const at = Date.parse(row.dataset.seenAt ?? "");
    if (Number.isNaN(at)) continue;
    const ageS = Math.max(0, (Date.now() - at) / 1000);
    const age = row.querySelector<HTMLElement>("[data-age]");
    if (age) age.textContent = ageText(ageS);
    row.classList.toggle("fresh--stale", ageS > STALE_S);
  }
}
