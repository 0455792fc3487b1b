import { expect, test, vi } from "vitest";
import { askedOf, imageUpload, keyOf, wordsOf } from "./image-upload";

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

test("a connection that is lost is told with what to do, and the button works again", async () => {
  document.body.innerHTML = `<form data-chunk-bytes="2"><div data-upload hidden><input type="file" data-file></div>
    <progress data-progress hidden></progress><p data-told></p><button class="btn--pri"></button></form>`;
  const form = document.querySelector("form");
  const input = document.querySelector<HTMLInputElement>("[data-file]");
  if (!form || !input) throw new Error("no form");
  Object.defineProperty(input, "files", { value: [new File(["abc"], "a.raw")] });
  vi.stubGlobal("fetch", () => Promise.reject(new TypeError("Failed to fetch")));
  imageUpload(form);
  form.dispatchEvent(new Event("submit", { cancelable: true }));
  await vi.waitFor(() =>
    expect(form.querySelector("[data-told]")?.textContent).toContain("press the button"),
  );
  expect(form.querySelector("button")?.disabled).toBe(false);
  vi.unstubAllGlobals();
});
