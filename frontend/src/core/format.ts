/** Numbers as people read them. */
import { gettext, gettext_noop } from "./gettext";
import { decimal, grouped } from "./numbers";

export function count(value: number): string {
  if (value < 100_000) return grouped(value);
  return value < 1e6 ? `${(value / 1e3).toFixed(0)} k` : `${decimal(value / 1e6, 1)} M`;
}

export function bytes(value: number): string {
  const units = [
    gettext_noop("B"),
    gettext_noop("kB"),
    gettext_noop("MB"),
    gettext_noop("GB"),
    gettext_noop("TB"),
  ];
  let at = 0;
  let amount = value;
  while (amount >= 1000 && at < units.length - 1) {
    amount /= 1000;
    at += 1;
  }
  return `${decimal(amount, at === 0 ? 0 : 1)} ${gettext(units[at] ?? "")}`;
}

export function rate(pps: number): string {
  return pps > 0 ? `+${pps < 10 ? grouped(pps, 1) : count(pps)} /s` : "";
}

interface Token {
  text: string;
  kind: "name" | "value" | "action" | "plain";
}

/** A match split at its commas into names and values, for colour. */
export function matchTokens(match: string): Token[][] {
  if (!match) return [];
  return match.split(",").map((part) => {
    const cut = part.indexOf("=");
    if (cut < 0) return [{ text: part.trim(), kind: "name" }];
    return [
      { text: `${part.slice(0, cut).trim()}=`, kind: "name" },
      { text: part.slice(cut + 1), kind: "value" },
    ];
  });
}

/** Actions split at the commas outside of parentheses. */
export function splitActions(actions: string): string[] {
  const parts: string[] = [];
  let depth = 0;
  let start = 0;
  for (let at = 0; at < actions.length; at += 1) {
    const letter = actions[at];
    if (letter === "(") depth += 1;
    else if (letter === ")") depth -= 1;
    else if (letter === "," && depth === 0) {
      parts.push(actions.slice(start, at));
      start = at + 1;
    }
  }
  if (start < actions.length) parts.push(actions.slice(start));
  return parts;
}
