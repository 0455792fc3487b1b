/** The status line: is the event stream open, what runs, how old is what we know of each host, the clock. */
import { gettext } from "../core/gettext";
import { decimal } from "../core/numbers";
import { type Connection, live } from "../core/socket";
import { clock as clockText } from "../core/zone";
import { replaceParts } from "./live-page";

/** Which attribute of the dot has the words, in the page's language. */
const WORDS: Record<Connection, string> = {
  connecting: "wordConnecting",
  live: "wordLive",
  stale: "wordStale",
  reconnecting: "wordReconnecting",
  ended: "wordEnded",
};
const WHY: Partial<Record<Connection, string>> = { stale: "whyStale", ended: "whyEnded" };
const STALE_S = 15;
const ASK_EVERY_MS = 5000;

interface HostAge {
  name: string;
  seen_at: string | null;
}

/** `data-topic` is the team's topic (may be empty), `data-status` the address that tells the hosts' ages. */
export function status(element: HTMLElement): void {
  showConnection(element);
  followOperations(element);
  const ask = async (): Promise<void> => {
    if (document.hidden || !element.dataset.status) return;
    const answer = await fetch(element.dataset.status, { headers: { Accept: "application/json" } });
    if (answer.status === 401) live().sayEnded();
    if (answer.ok) for (const host of ((await answer.json()) as { hosts: HostAge[] }).hosts) seen(host);
  };
  const quietly = (): void => void ask().catch(() => undefined); // the connection's dot tells that the server is away
  setInterval(quietly, ASK_EVERY_MS);
  document.addEventListener("visibilitychange", quietly);
  tick();
  setInterval(tick, 1000);
}

function showConnection(element: HTMLElement): void {
  const dot = element.querySelector<HTMLElement>("[data-connection]");
  live().onStatus((connection) => {
    if (!dot) return;
    dot.textContent = dot.dataset[WORDS[connection]] ?? connection;
    dot.classList.toggle("fresh--stale", connection !== "live");
    dot.dataset.connection = connection;
    dot.title = WHY[connection] ? (dot.dataset[WHY[connection]] ?? "") : "";
  });
}

/** A change of an operation makes the server word the running one again, and the panel; opening that looks too. */
function followOperations(element: HTMLElement): void {
  let due = false;
  const look = async (): Promise<void> => {
    const answer = await fetch(element.dataset.line ?? "", { headers: { Accept: "text/html" } });
    if (answer.ok) replaceParts(new DOMParser().parseFromString(await answer.text(), "text/html"));
  };
  const panel = element.querySelector<HTMLDetailsElement>("[data-panel]");
  panel?.addEventListener("toggle", () => {
    if (panel.open) void look().catch(() => undefined);
  });
  document.addEventListener("keydown", (event) => {
    if (event.key === "Escape" && panel?.open) panel.open = false;
  });
  document.addEventListener("click", (event) => {
    if (panel?.open && event.target instanceof Node && !panel.contains(event.target)) panel.open = false;
  });
  const topic = element.dataset.topic ?? "";
  if (!topic) {
    live().connectNow();
    return;
  }
  let first = true;
  live().join(topic, (change) => {
    const missed = change.kind === "snapshot" && !first;
    first = false;
    if (due || !(missed || (change.kind === "event" && change.event.object.startsWith("operation:")))) return;
    due = true;
    setTimeout(async () => {
      due = false;
      await look();
    }, 250);
  });
}

function seen(host: HostAge): void {
  for (const row of document.querySelectorAll<HTMLElement>("[data-seen-of]"))
    if (row.dataset.seenOf === host.name && host.seen_at) row.dataset.seenAt = host.seen_at;
  tick();
}

function ageText(ageS: number): string {
  if (ageS < 120) return gettext("%(number)s s", { number: decimal(ageS, ageS < 10 ? 1 : 0) });
  return ageS < 7200
    ? gettext("%(number)s min", { number: (ageS / 60).toFixed(0) })
    : gettext("%(number)s h", { number: (ageS / 3600).toFixed(0) });
}

function tick(): void {
  for (const row of document.querySelectorAll<HTMLElement>("[data-seen-at]")) {
    const at = Date.parse(row.dataset.seenAt ?? "");
    if (Number.isNaN(at)) continue;
    const ageS = Math.max(0, (Date.now() - at) / 1000);
    const age = row.querySelector<HTMLElement>("[data-age]");
    if (age) age.textContent = ageText(ageS);
    row.classList.toggle("fresh--stale", ageS > STALE_S);
  }
  for (const clock of document.querySelectorAll("[data-clock]")) clock.textContent = clockText(new Date());
}
