/**
 * The import form with a file chosen: it is sent in chunks, each where the last ended, with progress. The upload is
 * remembered by the file's name, size and date, so that the same file chosen again goes on where it was cut off.
 */
import { gettext } from "../core/gettext";

interface Progress {
  uuid: string;
  received_bytes: number;
  size_bytes: number;
}
const API = "/api/v1/image-imports";
const NUMBERS = ["min_ram_mib", "min_disk_gib"];

export function imageUpload(form: HTMLElement): void {
  const box = form.querySelector<HTMLElement>("[data-upload]");
  const input = form.querySelector<HTMLInputElement>("[data-file]");
  if (!(form instanceof HTMLFormElement) || !box || !input) return;
  box.hidden = false;
  form.addEventListener("submit", (event) => {
    const file = input.files?.[0];
    if (!file) return;
    event.preventDefault();
    void upload(form, file);
  });
}

export function keyOf(file: File, team: string): string {
  return `image-upload:${team}:${file.name}:${file.size}:${file.lastModified}`;
}

/** What the API is told of the form's fields. */
export function askedOf(form: HTMLFormElement, size: number): Record<string, string | number> {
  const asked: Record<string, string | number> = { size_bytes: size };
  for (const [name, value] of new FormData(form)) {
    if (typeof value !== "string" || name === "csrfmiddlewaretoken" || name === "url") continue;
    asked[name] = NUMBERS.includes(name) ? Number(value) : value.trim();
  }
  return asked;
}

async function upload(form: HTMLFormElement, file: File): Promise<void> {
  const told = form.querySelector<HTMLElement>("[data-told]");
  const bar = form.querySelector<HTMLProgressElement>("[data-progress]");
  const button = form.querySelector<HTMLButtonElement>("button.btn--pri");
  const key = keyOf(file, form.dataset.team ?? "");
  const chunk = Number(form.dataset.chunkBytes);
  if (!told || !bar || !button) return;
  button.disabled = true;
  bar.hidden = false;
  try {
    let at = (await known(form, key)) ?? (await begun(form, file, key));
    while (at.received_bytes < at.size_bytes) {
      const from = at.received_bytes;
      const url = `${API}/${at.uuid}/bytes?offset=${from}`;
      at = await ask(form, "PUT", url, file.slice(from, from + chunk));
      bar.value = (100 * at.received_bytes) / at.size_bytes;
      told.textContent = `${Math.floor(bar.value)} %`;
    }
    localStorage.removeItem(key);
    location.reload();
  } catch (problem) {
    told.textContent = problem instanceof Error ? problem.message : String(problem);
    button.disabled = false;
  }
}

async function known(form: HTMLFormElement, key: string): Promise<Progress | null> {
  const uuid = localStorage.getItem(key);
  return uuid ? ask(form, "GET", `${API}/${uuid}`).catch(() => null) : null;
}

async function begun(form: HTMLFormElement, file: File, key: string): Promise<Progress> {
  const asked = new Blob([JSON.stringify(askedOf(form, file.size))], { type: "application/json" });
  const row = await ask(form, "POST", API, asked);
  localStorage.setItem(key, row.uuid);
  return row;
}

async function ask(form: HTMLFormElement, method: string, url: string, body?: Blob): Promise<Progress> {
  const token = form.querySelector<HTMLInputElement>("[name=csrfmiddlewaretoken]")?.value ?? "";
  const headers = { "X-CSRFToken": token, "Hopsight-Team": form.dataset.team ?? "" };
  const answer = await fetch(url, { method, body: body ?? null, headers }).catch(() => {
    throw new Error(
      gettext("The connection was lost. What arrived is kept: press the button again to go on."),
    );
  });
  const json = await answer.json().catch(() => ({}));
  if (!answer.ok)
    throw new Error(wordsOf(json) || gettext("the server answered %(status)s", { status: answer.status }));
  return json;
}

/** The sentences of a refusal. */
export function wordsOf(problem: { title?: string; errors?: Record<string, string[]> }): string {
  const lines = Object.values(problem.errors ?? {}).flat();
  return lines.length ? lines.join(" · ") : (problem.title ?? "");
}
