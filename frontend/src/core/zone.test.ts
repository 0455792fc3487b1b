import { expect, test } from "vitest";
import { clock, dayAndMonth, hourAndMinute } from "./zone";

const AT = "2026-11-26T22:30:05Z";

test("a time is told in the page's zone, not in the browser's", () => {
  expect(clock(AT, "UTC")).toBe("22:30:05");
  expect(clock(AT, "Asia/Kolkata")).toBe("04:00:05");
  expect(hourAndMinute(new Date(AT), "America/St_Johns")).toBe("19:00");
});

test("midnight is 00, never 24", () => {
  expect(clock("2026-11-26T00:00:00Z", "UTC")).toBe("00:00:00");
});

test("the day is the zone's, with its month in the page's language", () => {
  expect(dayAndMonth(new Date(AT), "UTC", "en-GB")).toBe("26 Nov");
  expect(dayAndMonth(new Date(AT), "Europe/Moscow", "ru")).toBe("27 нояб.");
});
