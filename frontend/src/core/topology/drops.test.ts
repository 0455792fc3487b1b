import { describe, expect, it } from "vitest";
import { type PortDrops, sumDrops } from "./drops";

function told(...reasons: [string, number, string][]): PortDrops {
  return {
    reasons: reasons.map(([reason, packets, last_at]) => ({ reason, words: `${reason}!`, packets, last_at })),
  };
}

describe("drops of a selected VM", () => {
  it("sums its ports by reason, the latest first", () => {
    const lines = sumDrops(
      [told(["spoofed_arp", 3, "10:00"], ["no_route", 1, "09:00"]), told(["no_route", 4, "11:00"])],
      [],
      0,
    );
    expect(lines.map((line) => [line.reason, line.packets, line.lastAt])).toEqual([
      ["no_route", 5, "11:00"],
      ["spoofed_arp", 3, "10:00"],
    ]);
    expect(lines.every((line) => line.pps === 0)).toBe(true);
  });

  it("tells what is new since the look before, a reason that was not there too, and never less than nothing", () => {
    const before = sumDrops([told(["no_route", 5, "11:00"], ["table_miss", 9, "08:00"])], [], 0);
    const lines = sumDrops(
      [told(["no_route", 9, "12:00"], ["spoofed_arp", 2, "12:00"], ["table_miss", 1, "08:00"])],
      before,
      2,
    );
    expect(Object.fromEntries(lines.map((line) => [line.reason, line.pps]))).toEqual({
      no_route: 2,
      spoofed_arp: 1,
      table_miss: 0,
    });
  });
});
