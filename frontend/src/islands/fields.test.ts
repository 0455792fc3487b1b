import { expect, it } from "vitest";
import { fillRow } from "./fields";

const ROW = '<p data-object="vm:1"><b data-field="state" data-state="starting" data-capital></b></p>';

function stateOf(page: string): string {
  document.body.innerHTML = page;
  const row = document.querySelector<HTMLElement>("[data-object]");
  if (!row) throw new Error("no row");
  fillRow(row, { state: "running", state_label: "Running" });
  return row.textContent ?? "";
}

it("writes a state in the words of the server", () => {
  expect(stateOf(ROW)).toBe("Running");
});

it("writes a state in the page's language where the page has its words", () => {
  const words = JSON.stringify({ vm: { running: "Работает" }, operation: { running: "Выполняется" } });
  expect(stateOf(`${ROW}<script type="application/json" id="state-words">${words}</script>`)).toBe(
    "Работает",
  );
});
