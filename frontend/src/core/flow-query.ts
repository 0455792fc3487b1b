/**
 * Searching flows in ovs-ofctl's own words: `table=60,tcp,nw_dst=10.20.0.11 or foreign`.
 *
 * Terms joined by spaces or commas must all hold, `or` begins an alternative, `!` turns a term round. A term is
 *   field=value   the match has the field; numbers compare as numbers, addresses also by their prefix
 *   table=, priority=, cookie=, n_packets=, n_bytes=, actions=, out_port=   as in ovs-ofctl; a table by name too
 *   foreign, drop, tcp, any word   flagged foreign, drops, the protocol, or the text anywhere
 */
import type { Row } from "./flows";

interface Term {
  name: string;
  /** null for a bare word. */
  value: string | null;
  not: boolean;
}
/** Alternatives of terms that must all hold; empty means everything. */
export type Query = Term[][];

export function parseQuery(text: string): Query {
  const alternatives: Term[][] = [[]];
  for (const word of splitWords(text.toLowerCase())) {
    if (word === "or") alternatives.push([]);
    else if (word !== "and") alternatives.at(-1)?.push(termOf(word));
  }
  return alternatives.filter((terms) => terms.length > 0);
}

/** Words at spaces and commas outside of brackets; `actions=` takes the rest of its word, commas and all. */
function splitWords(text: string): string[] {
  const words: string[] = [];
  for (const chunk of text.split(/\s+/)) {
    if (/^!?actions=/.test(chunk)) words.push(chunk);
    else words.push(...chunk.split(/,(?![^(]*\))/));
  }
  return words.filter((word) => word && word !== "!");
}

function termOf(word: string): Term {
  const not = word.startsWith("!");
  const bare = not ? word.slice(1) : word;
  const cut = bare.indexOf("=");
  if (cut <= 0) return { name: bare, value: null, not };
  const name = bare.slice(0, cut);
  return { name: ALIASES[name] ?? name, value: bare.slice(cut + 1), not };
}

const ALIASES: Record<string, string> = {
  eth_src: "dl_src",
  eth_dst: "dl_dst",
  eth_type: "dl_type",
  ip_src: "nw_src",
  ip_dst: "nw_dst",
  ip_proto: "nw_proto",
  tcp_src: "tp_src",
  tcp_dst: "tp_dst",
  udp_src: "tp_src",
  udp_dst: "tp_dst",
};

export function matchesQuery(row: Row, query: Query): boolean {
  return query.length === 0 || query.some((terms) => terms.every((term) => holds(row, term) !== term.not));
}

function holds(row: Row, { name, value }: Term): boolean {
  const { flow, fields } = row;
  if (value === null) {
    if (name === "foreign") return flow.foreign;
    if (name === "drop") return isDrop(row);
    const protocols = PROTOCOLS[name];
    if (protocols) return protocols.some((protocol) => fields.get(protocol) === "");
    return textOf(row).includes(name);
  }
  const special = SPECIAL[name];
  if (special) return special(row, value);
  const given = fields.get(name);
  return given !== undefined && (value === "" || sameValue(given.toLowerCase(), value));
}

const SPECIAL: Record<string, (row: Row, value: string) => boolean> = {
  table: ({ flow }, value) => flow.table_name === value || sameNumber(String(flow.table), value),
  priority: ({ flow }, value) => sameNumber(String(flow.priority), value),
  cookie: ({ flow }, value) => sameMasked(flow.cookie, value),
  n_packets: ({ flow }, value) => flow.packets === Number(value),
  n_bytes: ({ flow }, value) => flow.bytes === Number(value),
  actions: ({ flow }, value) => (flow.actions || "drop").toLowerCase().includes(value),
  out_port: ({ flow }, value) => new RegExp(`\\boutput:${escaped(value)}\\b`).test(flow.actions),
};

/** A flow that drops, or sends the packet to the one table that counts drops. */
export function isDrop({ flow }: Row): boolean {
  return flow.actions === "" || flow.actions === "drop" || /goto_table:250$/.test(flow.actions);
}

/** Whether a part of a match, `field=value` or `tcp`, is what the query asks for. */
export function isHit(query: Query, part: string): boolean {
  const text = part.trim().toLowerCase();
  const cut = text.indexOf("=");
  const name = cut < 0 ? text : text.slice(0, cut);
  const value = cut < 0 ? "" : text.slice(cut + 1);
  return query.some((terms) =>
    terms.some((term) => {
      if (term.not) return false;
      if (term.value === null) {
        const protocols = PROTOCOLS[term.name];
        if (protocols) return cut < 0 && protocols.includes(name);
        return term.name.length > 1 && !WORDS.has(term.name) && text.includes(term.name);
      }
      return term.name === name && (term.value === "" || sameValue(value, term.value));
    }),
  );
}

/** A protocol finds what runs over it too, as in ovs-ofctl. */
const PROTOCOLS: Record<string, readonly string[]> = {
  ip: ["ip", "icmp", "tcp", "udp", "sctp"],
  ipv6: ["ipv6", "icmp6", "tcp6", "udp6", "sctp6"],
  ...Object.fromEntries(
    ["arp", "icmp", "tcp", "udp", "sctp", "icmp6", "tcp6", "udp6", "sctp6"].map((name) => [name, [name]]),
  ),
};

const WORDS = new Set(["foreign", "drop"]);

export function isActionHit(query: Query, action: string): boolean {
  const text = action.toLowerCase();
  return query.some((terms) =>
    terms.some((term) => {
      if (term.not) return false;
      if (term.value === null)
        return term.name.length > 1 && term.name !== "foreign" && text.includes(term.name);
      if (term.name === "out_port") return text === `output:${term.value}`;
      return term.name === "actions" && term.value !== "" && text.includes(term.value);
    }),
  );
}

function textOf({ flow }: Row): string {
  const text = `${flow.table_name} priority=${flow.priority} ${flow.match} ${flow.actions} ${flow.cause} cookie=${flow.cookie}`;
  return text.toLowerCase();
}

function sameValue(given: string, asked: string): boolean {
  if (given === asked || sameNumber(given, asked)) return true;
  const [one, two] = [prefixOf(given), prefixOf(asked)];
  if (one && two) {
    const bits = Math.min(one.bits, two.bits);
    const mask = bits === 0 ? 0 : (0xffffffff << (32 - bits)) >>> 0;
    return (one.address & mask) >>> 0 === (two.address & mask) >>> 0;
  }
  return given.startsWith("+") || given.startsWith("-") ? flagsHold(given, asked) : false;
}

function sameNumber(given: string, asked: string): boolean {
  if (!/^(0x[0-9a-f]+|\d+)$/.test(given) || !/^(0x[0-9a-f]+|\d+)$/.test(asked)) return false;
  return BigInt(given) === BigInt(asked);
}

function sameMasked(given: string, asked: string): boolean {
  const [value = "", mask = ""] = asked.split("/");
  if (mask === "-1" || mask === "") return sameNumber(given, value);
  try {
    return (BigInt(given) & BigInt(mask)) === (BigInt(value) & BigInt(mask));
  } catch {
    return false;
  }
}

function prefixOf(text: string): { address: number; bits: number } | null {
  const found = /^(\d+)\.(\d+)\.(\d+)\.(\d+)(?:\/(\d+))?$/.exec(text);
  if (!found) return null;
  const [a, b, c, d] = found.slice(1, 5).map(Number) as [number, number, number, number];
  return { address: ((a << 24) | (b << 16) | (c << 8) | d) >>> 0, bits: found[5] ? Number(found[5]) : 32 };
}

/** `+est` asks for a part of `+est-rel+trk`. */
function flagsHold(given: string, asked: string): boolean {
  const flags = asked.match(/[+-]\w+/g) ?? [];
  const had = new Set(given.match(/[+-]\w+/g) ?? []);
  return flags.length > 0 && flags.every((flag) => had.has(flag));
}

function escaped(text: string): string {
  return text.replace(/[.*+?^${}()|[\]\\]/g, "\\$&");
}
