import { expect, test } from "vitest";
import { inTurn } from "./turns";

const settled = (): Promise<void> => new Promise((resolve) => setTimeout(resolve, 0));

test("asked twice at once, it runs one after the other, and not at all after it is over", async () => {
  const ends: ((done: boolean) => void)[] = [];
  const ask = inTurn(() => new Promise((resolve) => ends.push(resolve)));
  ask();
  ask();
  ask();
  expect(ends.length).toBe(1);
  ends[0]?.(false);
  await settled();
  expect(ends.length).toBe(2);
  ends[1]?.(true);
  await settled();
  ask();
  expect(ends.length).toBe(2);
});

test("an answer that is over drops what was asked meanwhile", async () => {
  const ends: ((done: boolean) => void)[] = [];
  const ask = inTurn(() => new Promise((resolve) => ends.push(resolve)));
  ask();
  ask();
  ends[0]?.(true);
  await settled();
  expect(ends.length).toBe(1);
});

test("a failure is no end", async () => {
  let runs = 0;
  const ask = inTurn(async () => {
    runs += 1;
    if (runs === 1) throw new Error("the server is away");
    return true;
  });
  ask();
  await settled();
  ask();
  await settled();
  expect(runs).toBe(2);
});
