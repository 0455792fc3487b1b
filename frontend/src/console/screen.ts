/** The screen in noVNC, which is given our link as its channel: one RFB per connection. */
import RFB, { type RawChannel } from "@novnc/novnc";
import type { ConsoleLink, Pen } from "../core/console";
import type { ConsoleKey } from "../core/console-keys";
import { gettext } from "../core/gettext";
import { SHIFT, type Stroke, strokesOf } from "../core/keystrokes";
import { softKeyboard } from "./soft-keyboard";
import type { ConsoleView } from "./view";

const STROKE_MS = 12; // a PS/2 keyboard's queue holds 16 keys, and a guest empties it by and by

export function screenView(place: HTMLElement, link: () => ConsoleLink): ConsoleView {
  let rfb: RFB | null = null;
  let channel: RawChannel | null = null;
  let pen: Pen | null = null;
  const writes = (): boolean => pen?.mine === true;

  document.querySelector("[data-console-cad]")?.addEventListener("click", () => {
    rfb?.sendCtrlAltDel();
    rfb?.focus();
  });
  let after: Promise<unknown> = Promise.resolve();
  /** Strikes them after all that came before; whether they reached the guest. */
  const strike = (strokes: Stroke[]): Promise<boolean> => {
    const mine = after.then(async () => {
      for (const stroke of strokes) {
        if (!writes()) return false;
        if (stroke.shift) rfb?.sendKey(SHIFT, "ShiftLeft", true);
        rfb?.sendKey(stroke.keysym, null);
        if (stroke.shift) rfb?.sendKey(SHIFT, "ShiftLeft", false);
        await new Promise((resume) => setTimeout(resume, STROKE_MS));
      }
      return true;
    });
    after = mine;
    return mine;
  };
  const typed = async (strokes: Stroke[], missing: string[]): Promise<string> => {
    if (!(await strike(strokes))) return gettext("Stopped: somebody else has the keyboard.");
    return missing.length > 0
      ? gettext("Not on a US keyboard, left out: %(letters)s", { letters: missing.join(" ") })
      : "";
  };
  const press = (key: ConsoleKey): void => {
    for (const keysym of key.keysyms) rfb?.sendKey(keysym, null, true);
    for (const keysym of [...key.keysyms].reverse()) rfb?.sendKey(keysym, null, false);
  };
  const soft = softKeyboard(typed, press, (isUp) => {
    if (rfb) rfb.focusOnClick = !isUp; // a tap on the picture would put the keyboard away
  });
  return {
    opened: () => {
      rfb?.disconnect();
      place.replaceChildren();
      channel = channelOf(link);
      rfb = new RFB(place, channel, { shared: true });
      rfb.scaleViewport = true;
      rfb.focusOnClick = !soft?.isUp();
      rfb.background = "transparent";
      rfb.viewOnly = !writes();
      place.querySelector("canvas")?.setAttribute("aria-label", gettext("Screen of the guest"));
    },
    closed: () => channel?.onclose?.({ code: 1000, reason: "", wasClean: true }),
    pen: (now) => {
      pen = now;
      if (rfb) rfb.viewOnly = !writes();
    },
    scrollback: () => undefined,
    skipped: () => undefined,
    show: (data, taken) => {
      channel?.onmessage?.({ data: data.slice().buffer });
      taken();
    },
    focus: () => rfb?.focus(),
    press,
    type: async (text) => {
      const { strokes, missing } = strokesOf(text);
      const words = await typed(strokes, missing);
      rfb?.focus();
      return words;
    },
  };
}

function channelOf(link: () => ConsoleLink): RawChannel {
  return {
    binaryType: "arraybuffer",
    protocol: "",
    readyState: "open",
    send: (data) => link().send(data.slice()),
    close: () => undefined,
    onopen: null,
    onclose: null,
    onerror: null,
    onmessage: null,
  };
}
