import { expect, test } from "vitest";
import { countedOf } from "./live-page";

test("an operation about an object of the page counts by its state, one about another does not", () => {
  const about = (uuid: string): object => ({
    object_type: "volume",
    object_uuid: uuid,
    state: "done",
    stages: [1],
  });
  const told = {
    "volume:1": { size: 2 },
    "volume:2": {},
    "operation:a": about("1"),
    "operation:b": about("2"),
  };
  expect(countedOf(told, new Set(["volume:1"]), new Set())).toEqual([
    ["volume:1", '{"size":2}'],
    ["operation:a", "done"],
  ]);
  expect(countedOf(told, new Set(), new Set(["operation"])).map(([object]) => object)).toEqual([
    "operation:a",
    "operation:b",
  ]);
});
