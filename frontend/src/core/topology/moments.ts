/** The instants at which the hosts changed, as a slider has them: one more place than there are instants, the last is now. */

/** The place of an instant: of the last change that it has seen; "" is now. */
export function placeOf(kept: readonly string[], at: string): number {
  if (!at) return kept.length;
  const before = kept.filter((one) => Date.parse(one) <= Date.parse(at));
  return Math.max(before.length - 1, 0);
}

/** The instant of a place; "" for now. */
export function instantAt(kept: readonly string[], place: number): string {
  return kept[place] ?? "";
}
