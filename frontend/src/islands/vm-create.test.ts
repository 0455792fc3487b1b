import { expect, test } from "vitest";
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
