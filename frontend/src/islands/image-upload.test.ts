import { expect, test } from "vitest";
import { askedOf, keyOf, wordsOf } from "./image-upload";

test("the API is told the form's fields as it wants them, and neither the token nor a URL", () => {
  document.body.innerHTML = `<form><input name="csrfmiddlewaretoken" value="x"><input name="url" value="https://a">
    <input name="name" value=" Alpine "><input name="min_ram_mib" value="128"></form>`;
  const form = document.querySelector("form");
  expect(form && askedOf(form, 9)).toEqual({ name: "Alpine", min_ram_mib: 128, size_bytes: 9 });
});

test("the same file is the same upload, in its team only", () => {
  const file = new File(["abc"], "a.qcow2", { lastModified: 5 });
  expect(keyOf(file, "payments")).toBe(keyOf(new File(["xyz"], "a.qcow2", { lastModified: 5 }), "payments"));
  expect(keyOf(file, "payments")).not.toBe(keyOf(file, "search"));
});

test("every sentence of a refusal is shown", () => {
  expect(wordsOf({ title: "No", errors: { name: ["a"], url: ["b"] } })).toBe("a · b");
  expect(wordsOf({ title: "No" })).toBe("No");
});
