/** Keys that work on every page: “g v” is g, then v soon after. Pure: what a key means is told, not done. */

export const SOON_MS = 1200;

export interface Heard {
  /** The first key of a pair, and when it came. */
  first: string;
  at: number;
}

type Meaning = { kind: "palette" } | { kind: "help" } | { kind: "go"; keys: string } | null;

export interface Press {
  key: string;
  ctrlKey: boolean;
  metaKey: boolean;
  altKey: boolean;
  /** Whether somebody types into a field, where letters are letters. */
  typing: boolean;
}

/** What a key means after what was heard, among the known ones ("c", "g v"), and what is heard then. */
export function meaningOf(
  press: Press,
  heard: Heard,
  known: readonly string[],
  now: number,
): [Meaning, Heard] {
  const nothing: Heard = { first: "", at: 0 };
  const isCommand = press.ctrlKey || press.metaKey;
  if (isCommand && !press.altKey && press.key.toLowerCase() === "k") return [{ kind: "palette" }, nothing];
  if (press.typing || isCommand || press.altKey) return [null, nothing];
  if (press.key === "?") return [{ kind: "help" }, nothing];
  const pair = heard.first && now - heard.at < SOON_MS ? `${heard.first} ${press.key}` : "";
  if (pair && known.includes(pair)) return [{ kind: "go", keys: pair }, nothing];
  if (known.includes(press.key)) return [{ kind: "go", keys: press.key }, nothing];
  const begins = known.some((keys) => keys.startsWith(`${press.key} `));
  return [null, begins ? { first: press.key, at: now } : nothing];
}
