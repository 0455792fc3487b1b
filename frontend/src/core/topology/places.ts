/**
 * Places that are kept. What is there already stays where it is; what is new gets the first free place; what is gone
 * leaves its place free. Without a past, places follow the given order, so the same inventory gives the same picture.
 * `wish` names a place that suits a new one better than the first free one.
 */

export type Places = Map<string, number>;

export function keepPlaces(
  before: Places | undefined,
  ids: readonly string[],
  wish?: (id: string) => number | undefined,
): Places {
  const wanted = new Set(ids);
  const kept: Places = new Map();
  const taken = new Set<number>();
  for (const [id, place] of before ?? []) {
    if (!wanted.has(id)) continue;
    kept.set(id, place);
    taken.add(place);
  }
  let free = 0;
  for (const id of ids) {
    if (kept.has(id)) continue;
    while (taken.has(free)) free++;
    const wished = wish?.(id);
    const place = wished !== undefined && !taken.has(wished) ? wished : free;
    kept.set(id, place);
    taken.add(place);
  }
  return kept;
}

export function span(places: Places): number {
  let most = 0;
  for (const place of places.values()) most = Math.max(most, place + 1);
  return most;
}
