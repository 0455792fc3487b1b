/** The trace as sdn/model/trace.py stores it, and what the page draws of it: numbered steps and the U. */
import { gettext, gettext_noop } from "./gettext";

export type Verdict = "delivered" | "dropped" | "flooded" | "to_controller" | "unknown";
export type Layer = "guest" | "host" | "overlay" | "underlay";

interface Intent {
  kind: string;
  row_id: number;
  words: string;
  url: string;
}

export interface Step {
  table: number | null;
  table_name: string;
  priority: number | null;
  match: string;
  actions: string;
  cookie: number | null;
  /** The cookie as the server wrote it: 64 bits do not fit a JavaScript number. */
  cookie_text?: string;
  intent: Intent | null;
  note: string;
  changed: Record<string, [string, string]>;
  evidence: [number, number] | null;
  flow_key: string;
}

export interface Hop {
  kind: string;
  layer: Layer;
  host: string;
  object: string;
  detail: string;
  steps: Step[];
  header_before: Record<string, string>;
  header_after: Record<string, string>;
  header_stack: string[];
  latency_us: number | null;
  /** Half a measured time's uncertainty, both ways. */
  latency_error_us?: number | null;
  counters: { packets: number; bytes: number; at_s: number } | null;
  commands: string[];
  evidence: string;
  measured: boolean;
}

export interface Trace {
  id: string;
  kind: "predicted" | "probed" | "observed";
  direction: "forward" | "return";
  packet: Record<string, string>;
  hops: Hop[];
  verdict: Verdict;
  reason: string;
  started_at: string;
  generation: number;
  branches?: Branch[];
  cause?: Step | null;
  nearest?: NearFlow[];
  suggestion?: string;
  findings?: string[];
}

/** A flow that would have let the packet on: each of `differs` is [field, wanted, had]. */
interface NearFlow {
  step: Step;
  differs: [string, string, string][];
}

interface Branch {
  host: string;
  where: string;
  verdict: Verdict;
  reason: string;
  is_main: boolean;
}

/** One place where the packet can be looked at: a hop, or one look-up inside of it. */
export interface Place {
  number: number;
  hop: Hop;
  step: Step | null;
  /** Header fields as they leave this place. */
  fields: Record<string, string>;
  column: number;
  row: number;
  end: boolean;
}

export interface Cell {
  hop: Hop;
  places: Place[];
}

export interface Column {
  host: string;
  /** Cells by grid row (2 guest, 3 host, 4 bridge, 5 overlay, 6 underlay), in drawing order from the top. */
  rows: Map<number, Cell[]>;
}

export interface Layout {
  places: Place[];
  columns: Column[];
  wire: Cell[];
}

export const ROWS = [2, 3, 4, 5, 6] as const;
const WIRE_COLUMN = -1;

function naturalRow(hop: Hop): number {
  if (hop.layer === "guest") return 2;
  if (hop.layer === "overlay") return 5;
  if (hop.layer === "underlay") return 6;
  return hop.kind === "bridge" || hop.kind === "router" || hop.kind === "conntrack" ? 4 : 3;
}

/** What the hop is called: names of the hosts' things as they are, the network of wires in words. */
export function hopName(hop: Hop): string {
  return hop.kind === "underlay" ? gettext("underlay") : hop.object;
}

/** Is the hop drawn between the columns? The network of wires has no host of ours. */
function isWire(hop: Hop): boolean {
  return hop.kind === "underlay" || (hop.kind === "external" && hop.host === "");
}

/** The column of each hop: hosts in the order met; on one host alone the way back up is a column of its own. */
function columnsOf(hops: readonly Hop[]): number[] {
  let column = 0;
  let host = "";
  let turned = false;
  return hops.map((hop) => {
    if (isWire(hop)) return WIRE_COLUMN;
    if (host !== "" && hop.host !== host) {
      column += 1;
      turned = false;
    } else if (column === 0 && turned && naturalRow(hop) < 4) {
      column = 1;
      turned = false;
    }
    host = hop.host;
    if (naturalRow(hop) === 4) turned = true;
    return column;
  });
}

/** Header fields after a step: what the hop began with, plus every change up to here. */
function fieldsAt(hop: Hop, upTo: number): Record<string, string> {
  if (hop.steps.length === 0) return { ...hop.header_before, ...hop.header_after };
  const fields = { ...hop.header_before };
  for (const step of hop.steps.slice(0, upTo + 1)) {
    for (const [name, change] of Object.entries(step.changed)) fields[name] = change[1];
  }
  return fields;
}

/** The picture: down the first host's layers, over the wire, up the next one's. Depends on the trace alone. */
export function layoutOf(trace: Trace): Layout {
  const layout: Layout = { places: [], columns: [], wire: [] };
  const columns = columnsOf(trace.hops);
  const depth = new Map<number, number>();
  trace.hops.forEach((hop, index) => {
    const column = columns[index] ?? 0;
    const before = depth.get(column);
    let row = naturalRow(hop);
    if (before !== undefined) row = column === 0 ? Math.max(before, row) : Math.min(before, row);
    depth.set(column, row);
    const cell = cellOf(hop, column, row, layout.places);
    if (column === WIRE_COLUMN) layout.wire.push(cell);
    else place(layout.columns, column, row, cell);
  });
  const last = layout.places.at(-1);
  if (last) last.end = true;
  return layout;
}

function cellOf(hop: Hop, column: number, row: number, places: Place[]): Cell {
  const steps: (Step | null)[] = hop.steps.length ? hop.steps : [null];
  const own = steps.map((step, index) => ({
    number: places.length + index + 1,
    hop,
    step,
    fields: fieldsAt(hop, index),
    column,
    row,
    end: false,
  }));
  places.push(...own);
  return { hop, places: own };
}

function place(columns: Column[], index: number, row: number, cell: Cell): void {
  const column = columns[index] ?? { host: cell.hop.host, rows: new Map<number, Cell[]>() };
  columns[index] = column;
  const cells = column.rows.get(row) ?? [];
  // On the way up the later hop stands above the earlier one.
  column.rows.set(row, index === 0 ? [...cells, cell] : [cell, ...cells]);
}

/** The key under which live counters of a step arrive. */
export function counterKey(at: Place): string {
  return at.step?.flow_key ? `${at.hop.host}|${at.step.flow_key}` : "";
}

/** Which class of header each layer of a stack is: outer (underlay), overlay, or the guest's own. */
export function stackKinds(stack: readonly string[]): ("u" | "o" | "")[] {
  const tunnel = stack.findIndex((name) => /^(vxlan|geneve)/.test(name));
  return stack.map((_, index) => (index < tunnel ? "u" : index === tunnel ? "o" : ""));
}

function first(fields: Record<string, string>, ...names: string[]): string {
  for (const name of names) if (fields[name]) return fields[name] ?? "";
  return "";
}

function pair(from: string, to: string): string {
  return from || to ? `${from || "…"} → ${to || "…"}` : "";
}

/** What a header of the stack says, from the fields in ovs-ofctl's words or the packet's own. */
export function headerText(name: string, inner: boolean, fields: Record<string, string>): string {
  if (name === "eth") {
    return inner ? pair(first(fields, "dl_src", "eth_src"), first(fields, "dl_dst", "eth_dst")) : "";
  }
  if (name === "ipv6") return pair(first(fields, "ipv6_src"), first(fields, "ipv6_dst"));
  if (name === "arp") {
    const asked = first(fields, "arp_tpa");
    return first(fields, "arp_op") === "2"
      ? gettext("%(address)s is at …", { address: first(fields, "arp_spa") })
      : gettext("who has %(address)s?", { address: asked });
  }
  if (name === "icmp6") {
    const type = first(fields, "icmp_type");
    return ICMP6[type] ? gettext(ICMP6[type]) : gettext("type %(number)s", { number: type });
  }
  if (name === "ipv4") {
    if (!inner) return pair(first(fields, "tun_src", "outer_src"), first(fields, "tun_dst", "outer_dst"));
    return pair(first(fields, "nw_src", "ip_src"), first(fields, "nw_dst", "ip_dst"));
  }
  if (name === "tcp" || name === "udp") {
    if (!inner) return "→ 4789";
    const from = first(fields, "tp_src", `${name}_src`, "port_src");
    return pair(from, first(fields, "tp_dst", `${name}_dst`, "port_dst"));
  }
  if (name === "icmp")
    return first(fields, "icmp_type") === "0" ? gettext("echo reply") : gettext("echo request");
  return "";
}

const ICMP6: Record<string, string> = {
  "128": gettext_noop("echo request"),
  "129": gettext_noop("echo reply"),
  "133": gettext_noop("router solicitation"),
  "134": gettext_noop("router advertisement"),
  "135": gettext_noop("neighbour solicitation"),
  "136": gettext_noop("neighbour advertisement"),
};

const HEADER_FIELDS =
  /^(dl_|eth_|nw_|ip_|tp_|tcp_|udp_|port_|icmp_|protocol$|ttl$|size_bytes$|arp_|ipv6_|nd_|tun_(src|dst))/;

/** Fields that are no header: registers, conntrack, tunnel id, ports. */
export function metadataOf(fields: Record<string, string>): [string, string][] {
  return Object.entries(fields).filter(([name, value]) => !HEADER_FIELDS.test(name) && value !== "");
}

/** The stack at a place; a hop that does not say has the packet as the guest made it. */
export function stackAt(at: Place, trace: Trace): string[] {
  if (at.hop.header_stack.length) return at.hop.header_stack;
  return trace.packet.protocol === "arp" ? ["eth", "arp"] : ["eth", "ipv4", trace.packet.protocol ?? "ip"];
}
