import { afterEach, expect, it, vi } from "vitest";
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

const STAGE =
  '<li data-object="operation:1"><i data-field="detail" data-told="stage:1:0" data-english=""></i></li>';

afterEach(() => {
  document.documentElement.lang = "";
  vi.unstubAllGlobals();
});

it("writes a sentence as it comes where the page is English", () => {
  document.documentElement.lang = "en";
  document.body.innerHTML = STAGE;
  fillRow(document.body.querySelector("li") as HTMLElement, { detail: "2 GiB over Debian" });
  expect(document.body.textContent).toBe("2 GiB over Debian");
});

it("has the server tell a sentence in the page's language, and asks once for what has not changed", async () => {
  document.documentElement.lang = "ru";
  document.body.innerHTML = STAGE;
  const page = STAGE.replace("></i>", ">2 ГиБ поверх Debian</i>");
  const ask = vi.fn(() => Promise.resolve(new Response(page)));
  vi.stubGlobal("fetch", ask);
  const row = document.body.querySelector("li") as HTMLElement;
  fillRow(row, { detail: "2 GiB over Debian" });
  fillRow(row, { detail: "2 GiB over Debian" });
  await vi.waitFor(() => expect(document.body.textContent).toBe("2 ГиБ поверх Debian"));
  fillRow(row, { detail: "2 GiB over Debian" });
  expect(document.body.textContent).toBe("2 ГиБ поверх Debian");
  expect(ask).toHaveBeenCalledTimes(1);
});
