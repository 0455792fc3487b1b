/** The strip's lanes: what a real packet showed, laid over the steps of the prediction. */
import { gettext } from "./gettext";
import { decimal } from "./numbers";
import type { Hop, Layout, Trace, Verdict } from "./trace";

/** One piece of the probed lane over `span` steps from step `from` on. */
export interface Mark {
  from: number;
  span: number;
  kind: "measured" | "passed" | "gap";
  text: string;
  title: string;
  verdict: Verdict | null;
  slowest: boolean;
}

export interface Divergence {
  hop: number;
  words: string;
}

/** `118 µs`, `2.7 ms`. */
export function duration(us: number): string {
  return us < 1000
    ? gettext("%(number)s µs", { number: Math.round(us) })
    : gettext("%(number)s ms", { number: decimal(us / 1000, 1) });
}

/** A measured time as far as it can be told: where it may be nothing, only the most that it can be is known. */
export function measured(us: number, errorUs: number): string {
  return isBounded(us, errorUs) ? duration(us) : `< ${duration(us + errorUs)}`;
}

/** Is it surely more than nothing? */
function isBounded(us: number, errorUs: number): boolean {
  return us - errorUs >= 1;
}

/** The probed trace as marks over the prediction's steps; empty where the two share no hop. */
export function probedMarks(layout: Layout, probed: Trace): Mark[] {
  const marks: Mark[] = [];
  const hops = hopsOf(layout);
  const slow = Math.max(...probed.hops.map((hop) => hop.latency_us ?? 0));
  for (const [index, group] of hops.entries()) {
    const hop = probed.hops[index];
    const same = hop?.kind === group.hop.kind && hop.host === group.hop.host;
    const last = index === probed.hops.length - 1;
    marks.push(same && hop ? mark(group, hop, last ? probed.verdict : null, slow) : gap(group));
  }
  const rest = probed.hops.length > hops.length;
  const end = marks.at(-1);
  if (end && (rest || probed.hops.length === 0)) end.verdict = probed.verdict;
  return marks;
}

/** Real traffic as marks over the prediction's steps: packets a second where a switch counts them. */
export function observedMarks(layout: Layout, observed: Trace, hopPps: readonly (number | null)[]): Mark[] {
  return hopsOf(layout).map((group, index) => {
    const hop = observed.hops[index];
    if (hop?.kind !== group.hop.kind || hop.host !== group.hop.host) return gap(group);
    const verdict = index === observed.hops.length - 1 ? observed.verdict : null;
    const base = { from: group.from, span: group.span, verdict, slowest: false };
    const pps = hopPps[index] ?? null;
    if (!hop.measured) return { ...base, kind: "gap", text: "", title: gettext("no counter here") };
    if (pps === null) return { ...base, kind: "passed", text: "", title: gettext("passed") };
    return { ...base, kind: "measured", text: `${decimal(pps, 1)}/s`, title: hop.detail };
  });
}

interface Group {
  hop: Hop;
  from: number;
  span: number;
}

function hopsOf(layout: Layout): Group[] {
  const groups: Group[] = [];
  for (const place of layout.places) {
    const before = groups.at(-1);
    if (before && before.hop === place.hop) before.span += 1;
    else groups.push({ hop: place.hop, from: place.number, span: 1 });
  }
  return groups;
}

function gap(group: Group): Mark {
  const { from, span } = group;
  return { from, span, kind: "gap", text: "", title: gettext("not seen"), verdict: null, slowest: false };
}

function mark(group: Group, hop: Hop, verdict: Verdict | null, slow: number): Mark {
  const base = { from: group.from, span: group.span, verdict, slowest: false };
  if (!hop.measured)
    return { ...base, kind: "gap", text: "", title: gettext("a probe does not go through here") };
  if (group.from <= 3 && hop.kind === "tap")
    return { ...base, kind: "measured", text: gettext("in"), title: gettext("injected here") };
  if (hop.latency_us === null) return { ...base, kind: "passed", text: "", title: gettext("passed") };
  const error = hop.latency_error_us ?? 0;
  const text = measured(hop.latency_us, error);
  const title = gettext("%(detail)s; %(time)s ± %(error)s from the place before", {
    detail: hop.detail,
    time: duration(hop.latency_us),
    error: duration(error),
  });
  const slowest = isBounded(slow, error) && hop.latency_us === slow;
  return {
    ...base,
    kind: "measured",
    text: slowest && group.span > 3 ? gettext("%(time)s, slowest", { time: text }) : text,
    title,
    slowest,
  };
}
