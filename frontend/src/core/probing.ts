/** A continuous probing as its page keeps it: samples in order, and what a chart draws of them. */
import { gettext } from "./gettext";
import { decimal } from "./numbers";

export interface Sample {
  number: number;
  at_ms: number;
  /** Null for a packet that did not arrive; `reason` says why. */
  latency_us: number | null;
  error_us: number | null;
  reason: string;
}

export interface Probing {
  state: string;
  why: string;
  seconds: number;
  sent: number;
  arrived: number;
}

export type Told = Probing & { sample: Sample | null };

/** The samples with one more; null where one in between is missing, and the whole must be fetched. */
export function withSample(samples: readonly Sample[], told: Told): Sample[] | null {
  const next = told.sample;
  if (next && samples.some((one) => one.number === next.number)) return [...samples];
  if (next && next.number === samples.length + 1) return [...samples, next];
  return told.sent === samples.length ? [...samples] : null;
}

/** Columns of a chart: seconds since the first, milliseconds, the bounds of each, and losses at the bottom. */
export function columns(samples: readonly Sample[]): (number | null)[][] {
  const bound = (one: Sample, sign: number): number | null =>
    one.latency_us === null ? null : Math.max(0, one.latency_us + sign * (one.error_us ?? 0)) / 1000;
  return [
    samples.map((one) => one.at_ms / 1000),
    samples.map((one) => (one.latency_us === null ? null : one.latency_us / 1000)),
    samples.map((one) => bound(one, 1)),
    samples.map((one) => bound(one, -1)),
    samples.map((one) => (one.latency_us === null ? 0 : null)),
  ];
}

/** Why packets were lost, and how many for each reason, most first. */
export function losses(samples: readonly Sample[]): { reason: string; count: number }[] {
  const counts = new Map<string, number>();
  for (const one of samples)
    if (one.latency_us === null) counts.set(one.reason, (counts.get(one.reason) ?? 0) + 1);
  return [...counts].map(([reason, count]) => ({ reason, count })).sort((a, b) => b.count - a.count);
}

/** `median 1.2 ms, at most 3.4 ms`; "" before the first that arrived. */
export function latencyWords(samples: readonly Sample[]): string {
  const known = samples.flatMap((one) => (one.latency_us === null ? [] : [one.latency_us / 1000]));
  known.sort((a, b) => a - b);
  const middle = known[Math.floor(known.length / 2)];
  if (middle === undefined) return "";
  return gettext("median %(median)s ms, at most %(most)s ms", {
    median: decimal(middle, 1),
    most: decimal(known.at(-1) ?? middle, 1),
  });
}
