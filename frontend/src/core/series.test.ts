import { expect, test } from "vitest";
import { csv, fileName, quantity, summary } from "./series";

const line = { name: "sent_bps", words: "sent", unit: "bit/s", mean: [1, null, 3], peak: [2, null, 9] };

test("it words quantities as the server does", () => {
  expect(quantity(1234567, "bit/s")).toBe("1.23 Mbit/s");
  expect(quantity(67108864, "bytes")).toBe("64 MiB");
  expect(quantity(12.34, "percent")).toBe("12.3 %");
  expect(quantity(1023 * 1024, "bytes")).toBe("1023 KiB");
  expect(quantity(null, "bytes")).toBe("–");
});

test("it sums a line up without the times that nobody sampled", () => {
  expect(summary(line)).toEqual({ last: 3, average: 2, highest: 9 });
  expect(summary({ ...line, mean: [null], peak: [null] })).toEqual({
    last: null,
    average: null,
    highest: null,
  });
});

test("it leaves what nobody sampled empty in a spreadsheet", () => {
  const history = { kind: "vm", step_s: 10, at: [0, 10, 20], lines: [line] };
  expect(csv(history, ["sent_bps"]).split("\r\n")).toEqual([
    "time,sent_bps,sent_bps peak",
    "1970-01-01T00:00:00.000Z,1,2",
    "1970-01-01T00:00:10.000Z,,",
    "1970-01-01T00:00:20.000Z,3,9",
    "",
  ]);
});

test("a file is called by its title in each language", () => {
  expect(fileName("Traffic, all ports")).toBe("traffic-all-ports");
  expect(fileName("Трафик (1 час)")).toBe("трафик-1-час");
  expect(fileName("—")).toBe("chart");
});
