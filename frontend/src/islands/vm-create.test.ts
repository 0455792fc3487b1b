import { expect, test, vi } from "vitest";
import { vmCreate } from "./vm-create";

test("Ctrl+Enter creates with the focus on nothing or in the form, and not elsewhere", () => {
  document.body.innerHTML = `<form><input name="name"><button class="btn--pri"></button></form>
    <div data-effect="/effect"></div><a href="/elsewhere">elsewhere</a>`;
  const form = document.querySelector("form");
  const [name, link] = [document.querySelector("input"), document.querySelector("a")];
  if (!form || !name || !link) throw new Error("no form");
  let created = 0;
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    created += 1;
  });
  vmCreate(form);
  const press = (target: Element): boolean =>
    target.dispatchEvent(new KeyboardEvent("keydown", { key: "Enter", ctrlKey: true, bubbles: true }));
  press(link);
  expect(created).toBe(0);
  press(document.body);
  press(name);
  expect(created).toBe(2);
});

test("what is wrong by now stands beside its field, and what is right again is told no more", async () => {
  document.body.innerHTML = `<form>
      <div class="field"><input name="name" aria-invalid="true"><span class="err">taken</span></div>
      <div class="field"><input name="count" aria-invalid="true"><span class="err">too many</span></div>
      <div class="field"><textarea name="new_key" aria-invalid="true"></textarea><span class="err">no key</span></div>
      <div class="field"><textarea name="user_data"></textarea><div data-live-of="user_data"></div></div>
    </form><div data-effect="/effect"></div>`;
  const form = document.querySelector("form");
  if (!form) throw new Error("no form");
  const answer = `<ul><li class="err" data-for="count"><span data-line>too many</span></li>
    <li class="look" data-for="user_data"><b>User-data</b>: <span data-line>line 2</span></li></ul>`;
  vi.stubGlobal("fetch", async () => new Response(answer));
  vmCreate(form);
  form.dispatchEvent(new Event("input"));
  await vi.waitFor(() => expect(form.querySelector("[data-live-of]")?.textContent).toBe("line 2"));
  expect([...form.querySelectorAll(".err")].map((one) => one.textContent)).toEqual(["too many", "no key"]);
  expect([...form.querySelectorAll("[aria-invalid]")].map((one) => one.getAttribute("name"))).toEqual([
    "count",
    "new_key",
  ]);
  vi.unstubAllGlobals();
});
