/**
 * A form whose button asks the browser's authenticator and posts its answer as `credential`. The options are in
 * `data-options`, or fetched from `data-url` when the button is pressed; `data-do` says whether a passkey is made or used.
 */
import { gettext } from "../core/gettext";
import { answerOf, optionsOf } from "../core/passkeys";

export function passkey(form: HTMLElement): void {
  if (!(form instanceof HTMLFormElement) || !window.PublicKeyCredential) return;
  form.hidden = false;
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    void asked(form);
  });
}

async function asked(form: HTMLFormElement): Promise<void> {
  const told = form.querySelector<HTMLElement>("[data-told]");
  const field = form.querySelector<HTMLInputElement>("[name=credential]");
  if (!told || !field) return;
  try {
    const creating = form.dataset.do === "create";
    const publicKey = optionsOf(await optionsFor(form), creating) as never;
    const made = creating
      ? await navigator.credentials.create({ publicKey })
      : await navigator.credentials.get({ publicKey });
    field.value = JSON.stringify(answerOf(made as PublicKeyCredential));
    form.submit();
  } catch (problem) {
    told.hidden = false;
    told.textContent = wordsOf(problem);
  }
}

async function optionsFor(form: HTMLFormElement): Promise<Record<string, unknown>> {
  if (form.dataset.options) return JSON.parse(form.dataset.options);
  const headers = { "X-Requested-With": "XMLHttpRequest" };
  const answer = await fetch(form.dataset.url ?? "", { headers });
  if (!answer.ok) throw new Error(gettext("the server answered %(status)s", { status: answer.status }));
  return (await answer.json()).request_options;
}

function wordsOf(problem: unknown): string {
  const name = problem instanceof DOMException ? problem.name : "";
  if (name === "NotAllowedError")
    return gettext("It was cancelled, took too long, or no passkey of this site is here.");
  if (name === "InvalidStateError") return gettext("This device has a passkey of yours already.");
  if (name === "SecurityError")
    return gettext("Passkeys need https and a name in the address bar, not a number.");
  return problem instanceof Error ? problem.message : String(problem);
}
