import { expect, test } from "vitest";
import { columns, latencyWords, losses, type Sample, type Told, withSample } from "./probing";

const came = (number: number, us = 900): Sample => ({
  number,
  at_ms: (number - 1) * 1000,
  latency_us: us,
  error_us: 200,
  reason: "",
});
const lost = (number: number, reason = "A rule."): Sample => ({
  ...came(number),
  latency_us: null,
  error_us: null,
  reason,
});
const told = (sample: Sample | null, sent: number): Told => ({
  state: "running",
  why: "",
  seconds: 60,
  sent,
  arrived: 0,
  sample,
});

test("samples come one after another, twice does no harm, and a missing one is noticed", () => {
  expect(withSample([came(1)], told(came(2), 2))?.map((one) => one.number)).toEqual([1, 2]);
  expect(withSample([came(1), came(2)], told(came(2), 2))).toHaveLength(2);
  expect(withSample([came(1)], told(came(3), 3))).toBeNull();
  expect(withSample([came(1)], told(null, 1))).toHaveLength(1);
  expect(withSample([], told(null, 4))).toBeNull();
});

test("a chart has the times with their bounds, and a loss where nothing arrived", () => {
  expect(columns([came(1), lost(2)])).toEqual([
    [0, 1],
    [0.9, null],
    [1.1, null],
    [0.7, null],
    [null, 0],
  ]);
});

test("losses are told by reason, most first", () => {
  expect(losses([lost(1), came(2), lost(3, "B"), lost(4)])).toEqual([
    { reason: "A rule.", count: 2 },
    { reason: "B", count: 1 },
  ]);
});

test("latency is told in one line", () => {
  expect(latencyWords([came(1, 1000), came(2, 3000), came(3, 2000), lost(4)])).toBe(
    "median 2.0 ms, at most 3.0 ms",
  );
  expect(latencyWords([lost(1)])).toBe("");
});
