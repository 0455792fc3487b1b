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

export function viewOf(snapshot: Snapshot): View {
  return { seq: snapshot.seq, state: { ...snapshot.state }, at: "" };
}

/**
 * The view after a batch of events in order, copied once however many they are; `applied` are those that counted.
 * The first that shows a gap, and all after it, come back as `rest`.
 */
export function applyEvents(
  view: View,
  events: readonly LiveEvent[],
): { view: View; applied: LiveEvent[]; rest: LiveEvent[] } {
  let current = view;
  const applied: LiveEvent[] = [];
  for (const [at, event] of events.entries()) {
    if (event.seq <= current.seq) {
      if (restarted(current, event)) return { view: current, applied, rest: events.slice(at) };
      continue;
    }
    if (event.seq > current.seq + 1) return { view: current, applied, rest: events.slice(at) };
    if (current === view) current = { seq: view.seq, state: { ...view.state }, at: view.at };
    if (event.type.endsWith(".deleted")) delete current.state[event.object];
    else current.state[event.object] = event.data;
    current.seq = event.seq;
    current.at = event.at;
    applied.push(event);
  }
  return { view: current, applied, rest: [] };
}

/** Events kept while the snapshot was under way, applied in order; a gap among them ends it. */
export function replay(view: View, events: readonly LiveEvent[]): { view: View; outcome: "applied" | "gap" } {
  const { view: next, rest } = applyEvents(
    view,
    [...events].sort((a, b) => a.seq - b.seq),
  );
  return { view: next, outcome: rest.length > 0 ? "gap" : "applied" };
}

/** A transient topic that expired counts from 1 again: an older number with a later time is a new life. */
function restarted(view: View, event: LiveEvent): boolean {
  return view.at !== "" && Date.parse(event.at) > Date.parse(view.at);
}
