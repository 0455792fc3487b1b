import { afterEach, expect, it } from "vitest";
import { bytes, count } from "./format";
import { decimal, grouped, significant } from "./numbers";
import { quantity } from "./series";

afterEach(() => document.documentElement.removeAttribute("lang"));

it.each([
  ["en", ["1.50", "0.25", "12,345", "1.5 MB", "1.2 M", "1.23 Mbit/s"]],
  ["ru", ["1,50", "0,25", "12\u00a0345", "1,5 MB", "1,2 M", "1,23 Mbit/s"]],
])("writes numbers as people of %s do", (language, told) => {
  document.documentElement.lang = language;
  expect([
    decimal(1.5, 2),
    significant(0.25, 3),
    grouped(12345),
    bytes(1_500_000),
    count(1_200_000),
    quantity(1_234_000, "bit/s"),
  ]).toEqual(told);
});
