/** Flows of one bridge as the browser shows them: in the tables' order, highest priority first, filtered. */

export interface Flow {
  table: number;
  table_name: string;
  priority: number;
  match: string;
  actions: string;
  cookie: number | string | null;
  cause: string;
  foreign: boolean;
  packets: number;
  bytes: number;
}

export interface Keyed {
  key: string;
  flow: Flow;
}

/** Words that must all be there: `table=60`, `foreign`, `drop`, or any part of match, actions, cause or table name. */
export function matchesFilter(flow: Flow, filter: string): boolean {
  return filter
    .toLowerCase()
    .split(/\s+/)
    .filter(Boolean)
    .every((word) => {
      const table = /^table=(.+)$/.exec(word)?.[1];
      if (table) return String(flow.table) === table || flow.table_name === table;
      if (word === "foreign") return flow.foreign;
      const text = `${flow.table_name} priority=${flow.priority} ${flow.match} ${flow.actions} ${flow.cause}`;
      return text.toLowerCase().includes(word);
    });
}

/** By table, then priority from the highest, then match: counters never change a row's place. */
export function inOrder(state: Record<string, unknown>): Keyed[] {
  return Object.entries(state)
    .map(([key, flow]) => ({ key, flow: flow as Flow }))
    .sort(
      (a, b) =>
        a.flow.table - b.flow.table ||
        b.flow.priority - a.flow.priority ||
        (a.flow.match < b.flow.match ? -1 : a.flow.match > b.flow.match ? 1 : 0),
    );
}

export function byTable(flows: readonly Keyed[]): Map<number, Keyed[]> {
  const tables = new Map<number, Keyed[]>();
  for (const keyed of flows) {
    const rows = tables.get(keyed.flow.table) ?? [];
    rows.push(keyed);
    tables.set(keyed.flow.table, rows);
  }
  return tables;
}
