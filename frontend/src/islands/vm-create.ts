/**
 * The create form: while fields change, the server answers what they would do (quota, host, command) and what is wrong
 * with them, into `[data-effect]` and beside the fields. Ctrl+Enter submits. A volume's row that gets a size is followed by an empty
 * one. A snippet that is chosen fills the user-data, unless that was written by hand.
 */
const PAUSE_MS = 120;

export function vmCreate(form: HTMLElement): void {
  const effect = document.querySelector<HTMLElement>("[data-effect]");
  if (!(form instanceof HTMLFormElement) || !effect) return;
  let timer: ReturnType<typeof setTimeout> | undefined;
  let asked = 0;

  const look = async (): Promise<void> => {
    const mine = ++asked;
    const answer = await fetch(effect.dataset.effect ?? "", { method: "POST", body: questionOf(form) });
    if (!answer.ok || mine !== asked) return;
    const page = new DOMParser().parseFromString(await answer.text(), "text/html");
    effect.replaceChildren(...page.body.childNodes);
    besideFields(form, effect);
  };
  form.addEventListener("input", () => {
    clearTimeout(timer);
    timer = setTimeout(() => void look(), PAUSE_MS);
  });
  fillFromSnippets(form);
  const volumes = form.querySelector<HTMLElement>("[data-volumes]");
  volumes?.addEventListener("input", () => keepEmptyRow(volumes));
  // all is filled in, so that the focus may be on nothing yet
  document.addEventListener("keydown", (event) => {
    if (event.target !== document.body && !form.contains(event.target as Node)) return;
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) form.requestSubmit();
  });
  form.addEventListener("submit", () => {
    const button = form.querySelector<HTMLButtonElement>("button.btn--pri");
    if (button) setTimeout(() => button.setAttribute("disabled", ""));
  });
  window.addEventListener("pageshow", () =>
    form.querySelector("button.btn--pri")?.removeAttribute("disabled"),
  );
}

/** What is wrong by now stands beside its field; what was wrong when the form was sent, and is no more, goes. */
function besideFields(form: HTMLFormElement, effect: HTMLElement): void {
  const lines = [...effect.querySelectorAll<HTMLElement>("[data-for]")];
  const wrong = new Set(lines.filter((one) => one.matches(".err")).map((one) => one.dataset.for));
  for (const place of form.querySelectorAll<HTMLElement>("[data-live-of]")) {
    const own = lines.filter((one) => one.dataset.for === place.dataset.liveOf);
    place.replaceChildren(...own.map(lineOf));
    const field = form.querySelector(`[name="${place.dataset.liveOf}"]`);
    if (wrong.has(place.dataset.liveOf)) field?.setAttribute("aria-invalid", "true");
    else field?.removeAttribute("aria-invalid");
  }
  for (const told of form.querySelectorAll<HTMLElement>(".err")) {
    if (told.closest("[data-live-of]")) continue;
    const place = told.closest<HTMLElement>("fieldset, .field");
    const field = place?.querySelector<HTMLInputElement>("input[name], select[name], textarea[name]");
    if (!field || wrong.has(field.name) || UNSEEN.test(field.name)) continue;
    told.remove();
    field.removeAttribute("aria-invalid");
  }
}

/** Fields that the server is not told while one looks, or that share a name with others. */
const UNSEEN = /^(?:new_key|volume_.*|attach)$/;

function lineOf(line: HTMLElement): HTMLElement {
  const beside = document.createElement("span");
  beside.className = line.className;
  beside.textContent = line.querySelector("[data-line]")?.textContent ?? "";
  return beside;
}

/** The form as it is, without the pasted key: looking stores nothing. */
function questionOf(form: HTMLFormElement): FormData {
  const given = new FormData(form);
  given.delete("new_key");
  return given;
}

/** While every row has a size and there may be more, one more: a copy of the last, without its size and with the next name. */
function keepEmptyRow(volumes: HTMLElement): void {
  const rows = [...volumes.querySelectorAll<HTMLElement>("[data-volume]")];
  const last = rows[rows.length - 1];
  if (!last || rows.length >= Number(volumes.dataset.volumes)) return;
  if (rows.some((row) => !row.querySelector<HTMLInputElement>("[name=volume_size_gib]")?.value.trim()))
    return;
  const fresh = last.cloneNode(true) as HTMLElement;
  const number = rows.length + 1;
  const names = rows.map((row) => row.querySelector<HTMLInputElement>("[name=volume_name]")?.value);
  fresh.querySelector(".vol-err")?.remove();
  for (const field of fresh.querySelectorAll<HTMLInputElement | HTMLSelectElement>("input, select")) {
    const label = fresh.querySelector<HTMLLabelElement>(`label[for="${field.id}"]`);
    field.id = field.id.replace(/\d+$/, String(number));
    if (label) label.htmlFor = field.id;
    field.removeAttribute("aria-invalid");
    if (field.name === "volume_size_gib") field.value = "";
    if (field.name === "volume_name") field.value = freeName(names, number);
  }
  last.after(fresh);
}

function freeName(taken: (string | undefined)[], number: number): string {
  for (let next = number; ; next += 1) if (!taken.includes(`data-${next}`)) return `data-${next}`;
}

function fillFromSnippets(form: HTMLFormElement): void {
  const chosen = form.querySelector<HTMLSelectElement>("#snippet");
  const text = form.querySelector<HTMLTextAreaElement>("#user_data");
  if (!chosen || !text) return;
  let filled = "";
  chosen.addEventListener("change", () => {
    const fresh = chosen.selectedOptions[0]?.dataset.text ?? "";
    if (text.value.trim() === "" || text.value === filled) {
      text.value = fresh;
      filled = fresh;
    }
  });
}
