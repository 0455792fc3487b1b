/**
 * Live topics: snapshot(n) + events(n+1..m) = snapshot(m).
 *
 * Every event carries the whole object, so that applying one twice does no harm. A number that is missing means that
 * the view cannot be trusted: the caller fetches the snapshot again.
 */

export interface LiveEvent {
  seq: number;
  at: string;
  topic: string;
  type: string;
  object: string;
  data: unknown;
}

export interface Snapshot {
  seq: number;
  state: Record<string, unknown>;
}

export interface View extends Snapshot {
  /** Time of the last applied event; "" straight after a snapshot. */
  at: string;
}

export type Outcome = "applied" | "duplicate" | "gap";

export function viewOf(snapshot: Snapshot): View {
  return { seq: snapshot.seq, state: { ...snapshot.state }, at: "" };
}

/** The view after an event, and what the event was. A new view is returned only when it was applied. */
export function applyEvent(view: View, event: LiveEvent): { view: View; outcome: Outcome } {
  if (event.seq <= view.seq) return { view, outcome: restarted(view, event) ? "gap" : "duplicate" };
  if (event.seq > view.seq + 1) return { view, outcome: "gap" };
  const state = { ...view.state };
  if (event.type.endsWith(".deleted")) delete state[event.object];
  else state[event.object] = event.data;
  return { view: { seq: event.seq, state, at: event.at }, outcome: "applied" };
}

/** Events kept while the snapshot was under way, applied in order; a gap among them ends it. */
export function replay(view: View, events: readonly LiveEvent[]): { view: View; outcome: Outcome } {
  let current = view;
  for (const event of [...events].sort((a, b) => a.seq - b.seq)) {
    const result = applyEvent(current, event);
    if (result.outcome === "gap") return { view: current, outcome: "gap" };
    current = result.view;
  }
  return { view: current, outcome: "applied" };
}

/** A transient topic that expired counts from 1 again: an older number with a later time is a new life. */
function restarted(view: View, event: LiveEvent): boolean {
  return view.at !== "" && Date.parse(event.at) > Date.parse(view.at);
}
