/** Flows of one bridge as the browser shows them: in the tables' order, highest priority first; counters never move a row. */
import type { LiveEvent } from "./live";

export interface Flow {
  table: number;
  table_name: string;
  priority: number;
  match: string;
  actions: string;
  cookie: string;
  cause: string;
  cause_url: string;
  /** The team that one has to be of to open that address; empty where every reader may. */
  cause_team?: string;
  foreign: boolean;
  packets: number;
  bytes: number;
}

/** How the flows are known, and when changes may have come and gone untold. */
export interface Monitor {
  state: "live" | "paused" | "polled" | "away";
  why: string;
  since: string;
  gaps: { from: string; to: string }[];
}

/** Where what a flow is there for can be read, by somebody of these teams; empty where they may not. */
export function causeUrl(flow: Flow, teams: readonly string[]): string {
  return !flow.cause_team || teams.includes(flow.cause_team) ? flow.cause_url : "";
}

export type Mark = "" | "add" | "mod" | "del";

export interface Row {
  key: string;
  flow: Flow;
  fields: ReadonlyMap<string, string>;
  /** Packets a second between the last two counts; 0 when they stand still. */
  rate: number;
  counted: number;
  mark: Mark;
  marked: number;
}

const MONITOR = "monitor";
const RATE_LASTS_MS = 2600;
const COUNT_APART_MS = 400;
const MOST_CHANGES = 2000;

/** Keeps the rows in order while events come; `rows` is a new array after every change. */
export class FlowIndex {
  rows: Row[] = [];
  monitor: Monitor | null = null;
  /** What changed since `forget`, deleted flows too, by key. */
  changes = new Map<string, Row>();
  private byKey = new Map<string, Row>();
  private moving = new Set<string>();

  reset(state: Record<string, unknown>, now: number): void {
    const before = this.byKey;
    this.byKey = new Map();
    this.monitor = (state[MONITOR] as Monitor | undefined) ?? null;
    for (const [key, flow] of Object.entries(state)) {
      if (key !== MONITOR) this.byKey.set(key, rowOf(key, flow as Flow, before.get(key), now, ""));
    }
    this.rows = [...this.byKey.values()].sort(compareRows);
  }

  apply(events: readonly LiveEvent[], now: number): void {
    const rows = this.rows.slice();
    for (const { object, type, data } of events) {
      if (object === MONITOR) this.monitor = data as Monitor;
      else if (type.endsWith(".deleted")) this.drop(rows, object, now);
      else this.put(rows, object, data as Flow, now);
    }
    this.rows = rows;
  }

  private put(rows: Row[], key: string, flow: Flow, now: number): void {
    const before = this.byKey.get(key);
    const same = before && before.flow.actions === flow.actions && before.flow.cookie === flow.cookie;
    const row = rowOf(key, flow, before, now, same ? before.mark : before ? "mod" : "add");
    if (!same) this.note({ ...row, marked: now });
    this.byKey.set(key, same ? row : { ...row, marked: now });
    if (row.rate > 0) this.moving.add(key);
    const at = placeOf(rows, row);
    rows.splice(at, before ? 1 : 0, this.byKey.get(key) as Row);
  }

  private drop(rows: Row[], key: string, now: number): void {
    const row = this.byKey.get(key);
    if (!row) return;
    rows.splice(placeOf(rows, row), 1);
    this.byKey.delete(key);
    this.moving.delete(key);
    this.note({ ...row, rate: 0, mark: "del", marked: now });
  }

  private note(row: Row): void {
    this.changes.delete(row.key);
    this.changes.set(row.key, row);
    if (this.changes.size > MOST_CHANGES) this.changes.delete(this.changes.keys().next().value as string);
  }

  forget(): void {
    this.changes = new Map();
  }

  /** Rates of counters that stand still go back to nothing; true when one did. */
  settle(now: number): boolean {
    let some = false;
    for (const key of this.moving) {
      const row = this.byKey.get(key);
      if (row && now - row.counted < RATE_LASTS_MS) continue;
      this.moving.delete(key);
      if (!row) continue;
      some = true;
      this.byKey.set(key, { ...row, rate: 0 });
    }
    if (some) this.rows = this.rows.map((row) => this.byKey.get(row.key) ?? row);
    return some;
  }
}

function rowOf(key: string, flow: Flow, before: Row | undefined, now: number, mark: Mark): Row {
  const fields = before?.flow.match === flow.match ? before.fields : fieldsOf(flow.match);
  const moved = before ? flow.packets - before.flow.packets : 0;
  const counts = moved !== 0 && before !== undefined && now - before.counted >= COUNT_APART_MS;
  const rate = counts ? Math.max(0, (moved * 1000) / (now - before.counted)) : (before?.rate ?? 0);
  const counted = counts || !before ? now : before.counted;
  return { key, flow, fields, rate, counted, mark, marked: before?.marked ?? 0 };
}

export function compareRows(a: Row, b: Row): number {
  return (
    a.flow.table - b.flow.table ||
    b.flow.priority - a.flow.priority ||
    (a.flow.match < b.flow.match ? -1 : a.flow.match > b.flow.match ? 1 : 0)
  );
}

function placeOf(rows: readonly Row[], row: Row): number {
  let low = 0;
  let high = rows.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (compareRows(rows[middle] as Row, row) < 0) low = middle + 1;
    else high = middle;
  }
  return low;
}

export function byTable(rows: readonly Row[]): Map<number, Row[]> {
  const tables = new Map<number, Row[]>();
  for (const row of rows) {
    const some = tables.get(row.flow.table);
    if (some) some.push(row);
    else tables.set(row.flow.table, [row]);
  }
  return tables;
}

/** A match's fields by name; a bare protocol has the value "". */
export function fieldsOf(match: string): ReadonlyMap<string, string> {
  const fields = new Map<string, string>();
  for (const part of match.split(",")) {
    const cut = part.indexOf("=");
    if (part) fields.set(cut < 0 ? part : part.slice(0, cut), cut < 0 ? "" : part.slice(cut + 1));
  }
  return fields;
}

/** The line of `ovs-ofctl dump-flows`, which `ovs-ofctl add-flows` takes as it is. */
export function flowLine(flow: Flow): string {
  const match = flow.match ? `,${flow.match}` : "";
  const counted = `n_packets=${flow.packets}, n_bytes=${flow.bytes}`;
  return ` cookie=${flow.cookie}, table=${flow.table}, ${counted}, priority=${flow.priority}${match} actions=${flow.actions || "drop"}`;
}
