import { afterEach, expect, it, vi } from "vitest";
import type { Change } from "../core/socket";

const listeners: ((change: Change) => void)[] = [];
vi.mock("../core/socket", () => ({
  live: () => ({ join: (_name: string, listener: (change: Change) => void) => listeners.push(listener) }),
}));

import { liveList } from "./live-list";

const list = (rows: string): string => `<div data-island="live-list" data-topic="team:a">${rows}</div>`;
const snapshot = (seq: number): Change => ({ kind: "snapshot", view: { seq, state: {}, at: "" } });

afterEach(() => {
  vi.useRealTimers();
  vi.unstubAllGlobals();
});

it("renders again after a second snapshot, for what came and went in between was missed", async () => {
  vi.useFakeTimers();
  const asked = vi.fn(async () => new Response(list('<p data-object="vm:2"></p>')));
  vi.stubGlobal("fetch", asked);
  document.body.innerHTML = list('<p data-object="vm:1"></p>');
  const element = document.querySelector<HTMLElement>("[data-island]");
  if (!element) throw new Error("no list");
  liveList(element);
  listeners[0]?.(snapshot(1));
  await vi.advanceTimersByTimeAsync(1000);
  expect(asked).not.toHaveBeenCalled();
  listeners[0]?.(snapshot(9));
  await vi.advanceTimersByTimeAsync(1000);
  expect(asked).toHaveBeenCalledOnce();
  expect(element.innerHTML).toContain("vm:2");
});
