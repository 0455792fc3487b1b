import { expect, test } from "vitest";
import { type Heard, meaningOf, type Press, SOON_MS } from "./keys";

const KNOWN = ["c", "g v", "g d"];
const NOTHING: Heard = { first: "", at: 0 };
const press = (key: string, more: Partial<Press> = {}): Press => ({
  key,
  ctrlKey: false,
  metaKey: false,
  altKey: false,
  typing: false,
  ...more,
});

test("Ctrl-K opens the palette wherever one is, also while typing", () => {
  for (const more of [{ ctrlKey: true }, { metaKey: true }, { ctrlKey: true, typing: true }])
    expect(meaningOf(press("k", more), NOTHING, KNOWN, 0)[0]).toEqual({ kind: "palette" });
});

test("g and then v goes to the VMs, and not when it comes late", () => {
  const [first, heard] = meaningOf(press("g"), NOTHING, KNOWN, 1000);
  expect(first).toBeNull();
  expect(meaningOf(press("v"), heard, KNOWN, 1100)[0]).toEqual({ kind: "go", keys: "g v" });
  expect(meaningOf(press("v"), heard, KNOWN, 1000 + SOON_MS)[0]).toBeNull();
});

test("letters typed into a field are letters, and commands of the browser are its own", () => {
  expect(meaningOf(press("c", { typing: true }), NOTHING, KNOWN, 0)[0]).toBeNull();
  expect(meaningOf(press("?", { typing: true }), NOTHING, KNOWN, 0)[0]).toBeNull();
  expect(meaningOf(press("c", { ctrlKey: true }), NOTHING, KNOWN, 0)[0]).toBeNull();
  expect(meaningOf(press("c"), NOTHING, KNOWN, 0)[0]).toEqual({ kind: "go", keys: "c" });
  expect(meaningOf(press("?"), NOTHING, KNOWN, 0)[0]).toEqual({ kind: "help" });
});
