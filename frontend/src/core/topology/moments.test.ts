import { describe, expect, it } from "vitest";
import { instantAt, placeOf } from "./moments";

const KEPT = ["2026-11-27T07:00:00+00:00", "2026-11-27T07:01:00.500000+00:00", "2026-11-27T07:05:00+00:00"];

describe("instants of the map", () => {
  it("has now behind the last change", () => {
    expect(placeOf(KEPT, "")).toBe(3);
    expect(instantAt(KEPT, 3)).toBe("");
  });
  it("finds each kept instant where it is", () => {
    for (const place of KEPT.keys()) expect(placeOf(KEPT, instantAt(KEPT, place))).toBe(place);
    expect(KEPT.map((at) => placeOf(KEPT, at))).toEqual([0, 1, 2]);
  });
  it("puts an instant between two at the earlier one", () => {
    expect(placeOf(KEPT, "2026-11-27T07:03:00Z")).toBe(1);
    expect(placeOf(KEPT, "2026-11-27T06:00:00Z")).toBe(0);
    expect(placeOf([], "2026-11-27T06:00:00Z")).toBe(0);
  });
});
