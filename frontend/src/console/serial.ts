/** The serial line in xterm.js. */
import { FitAddon } from "@xterm/addon-fit";
import { Terminal } from "@xterm/xterm";
import "@xterm/xterm/css/xterm.css";
import type { ConsoleLink } from "../core/console";
import { gettext, ngettext } from "../core/gettext";
import type { ConsoleView } from "./view";

const SCROLLBACK_LINES = 5000;
const CANCEL = "\x18"; // ends an escape sequence whose rest was left out

export function serialView(place: HTMLElement, link: () => ConsoleLink): ConsoleView {
  const terminal = new Terminal({
    fontFamily: getComputedStyle(place).fontFamily,
    fontSize: 13,
    scrollback: SCROLLBACK_LINES,
    minimumContrastRatio: 4.5,
    convertEol: false,
    linkHandler: { activate: () => undefined }, // a guest's links are words, and open nothing
    theme: themeOf(place),
  });
  const fit = new FitAddon();
  terminal.loadAddon(fit);
  terminal.open(place);
  terminal.textarea?.setAttribute("aria-label", gettext("Serial console"));
  fit.fit();
  new ResizeObserver(() => fit.fit()).observe(place);
  const paint = (): void => {
    terminal.options.theme = themeOf(place);
  };
  new MutationObserver(paint).observe(document.documentElement, { attributeFilter: ["data-theme"] });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", paint);

  let old = 0; // bytes still to come that were said before
  let unparsed = 0; // old ones that the terminal has and has not shown yet
  let connection = 0;
  const bytes = new TextEncoder();
  leaveUnanswered(terminal, () => unparsed > 0);
  terminal.onData((text) => link().send(bytes.encode(text)));
  terminal.onBinary((text) => link().send(Uint8Array.from(text, (letter) => letter.charCodeAt(0))));

  const show = (data: Uint8Array, taken: () => void): void => {
    const before = Math.min(old, data.length);
    old -= before;
    unparsed += before;
    const mine = connection;
    terminal.write(data, () => {
      if (mine === connection) unparsed -= before;
      taken();
    });
  };
  document.querySelector("[data-console-fit]")?.addEventListener("click", () => {
    link().send(bytes.encode(`stty rows ${terminal.rows} cols ${terminal.cols}\r`));
    terminal.focus();
  });
  return {
    opened: () => {
      connection += 1;
      old = 0;
      unparsed = 0;
      terminal.reset();
    },
    closed: () => {
      terminal.options.disableStdin = true;
    },
    pen: (pen) => {
      terminal.options.disableStdin = !pen.mine && (!pen.may_write || pen.writer !== "");
    },
    scrollback: (count) => {
      old = count;
    },
    skipped: (count) =>
      terminal.write(
        `${CANCEL}\r\n\x1b[7m ${ngettext("%(count)s byte left out", "%(count)s bytes left out", count)} \x1b[m\r\n`,
      ),
    show,
    focus: () => terminal.focus(),
    press: (key) => {
      const isApplication = terminal.modes.applicationCursorKeysMode;
      terminal.input((isApplication && key.inApplication) || key.text);
    },
    type: async (text) => {
      terminal.paste(text);
      terminal.focus();
      return "";
    },
  };
}

const CSI_QUESTIONS = [
  { final: "n" },
  { prefix: "?", final: "n" },
  { final: "c" },
  { prefix: ">", final: "c" },
  { prefix: ">", final: "q" },
  { intermediates: "$", final: "p" },
  { prefix: "?", intermediates: "$", final: "p" },
];
const COLOUR_QUESTIONS = [4, 10, 11, 12];

/**
 * A program may ask its terminal for its kind, state or colours, and the answer comes as if it was typed. Who asked in what
 * is only shown again has had an answer, and would take a second one for the person's own.
 */
function leaveUnanswered(terminal: Terminal, isOld: () => boolean): void {
  for (const question of CSI_QUESTIONS) terminal.parser.registerCsiHandler(question, isOld);
  terminal.parser.registerDcsHandler({ intermediates: "$", final: "q" }, isOld);
  for (const number of COLOUR_QUESTIONS)
    terminal.parser.registerOscHandler(number, (text) => text.includes("?") && isOld());
}

/** The page's own colours, as it resolves them for this place. */
function themeOf(place: HTMLElement): Record<string, string> {
  const { color, backgroundColor, caretColor } = getComputedStyle(place);
  return { background: backgroundColor, foreground: color, cursor: caretColor };
}
