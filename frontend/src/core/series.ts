/** Samples over time as the API tells them, and their values as people read them. */
import { gettext, gettext_noop } from "./gettext";
import { significant } from "./numbers";

interface Line {
  name: string;
  words: string;
  unit: string;
  mean: (number | null)[];
  peak: (number | null)[];
}

export interface History {
  kind: string;
  step_s: number;
  at: number[];
  lines: Line[];
}

const LARGE: Record<string, [number, string[]]> = {
  bytes: [
    1024,
    [gettext_noop("B"), gettext_noop("KiB"), gettext_noop("MiB"), gettext_noop("GiB"), gettext_noop("TiB")],
  ],
  "bytes/s": [
    1000,
    [
      gettext_noop("B/s"),
      gettext_noop("kB/s"),
      gettext_noop("MB/s"),
      gettext_noop("GB/s"),
      gettext_noop("TB/s"),
    ],
  ],
  "bit/s": [
    1000,
    [
      gettext_noop("bit/s"),
      gettext_noop("kbit/s"),
      gettext_noop("Mbit/s"),
      gettext_noop("Gbit/s"),
      gettext_noop("Tbit/s"),
    ],
  ],
  "packets/s": [
    1000,
    [gettext_noop("/s"), gettext_noop("k/s"), gettext_noop("M/s"), gettext_noop("G/s"), gettext_noop("T/s")],
  ],
};

/** 1234567 bit/s → `1.23 Mbit/s`; the same words as portal/history/asked.py has. */
export function quantity(value: number | null, unit: string): string {
  if (value === null) return "–";
  if (unit === "percent") return `${digits(value)} %`;
  const large = LARGE[unit];
  if (!large) return digits(value);
  const [base, names] = large;
  let amount = value;
  let at = 0;
  while (Math.abs(amount) >= base && at < names.length - 1) {
    amount /= base;
    at += 1;
  }
  return `${digits(amount)} ${gettext(names[at] ?? "")}`;
}

function digits(value: number): string {
  return Math.abs(value) >= 1000 ? value.toFixed(0) : significant(value, 3);
}

interface Summary {
  last: number | null;
  average: number | null;
  highest: number | null;
}

export function summary(line: Line): Summary {
  const known = line.mean.filter((value): value is number => value !== null);
  const peaks = line.peak.filter((value): value is number => value !== null);
  return {
    last: known.at(-1) ?? null,
    average: known.length > 0 ? known.reduce((sum, value) => sum + value, 0) / known.length : null,
    highest: peaks.length > 0 ? Math.max(...peaks) : null,
  };
}

/** The lines as a table for a spreadsheet: one row a time, a mean and a peak for each line. */
export function csv(history: History, names: string[]): string {
  const lines = history.lines.filter((line) => names.includes(line.name));
  const head = ["time", ...lines.flatMap((line) => [line.name, `${line.name} peak`])];
  const rows = history.at.map((at, row) => [
    new Date(at * 1000).toISOString(),
    ...lines.flatMap((line) => [line.mean[row] ?? "", line.peak[row] ?? ""]),
  ]);
  return [head, ...rows].map((row) => `${row.join(",")}\r\n`).join("");
}

/** A file's name for what has this title, in whatever language: `Traffic, all ports` → `traffic-all-ports`. */
export function fileName(title: string): string {
  return (
    title
      .toLowerCase()
      .replaceAll(/[^\p{L}\p{N}]+/gu, "-")
      .replaceAll(/^-|-$/g, "") || "chart"
  );
}
