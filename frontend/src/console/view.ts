/** What a console shows itself in: the serial line's terminal or the VNC screen. */

import type { ConsoleLink, Pen } from "../core/console";
import type { ConsoleKey } from "../core/console-keys";

export interface ConsoleView {
  /** A new connection is open: what was shown belongs to the old one. */
  opened(): void;
  closed(): void;
  pen(pen: Pen): void;
  scrollback(bytes: number): void;
  skipped(bytes: number): void;
  show(data: Uint8Array, taken: () => void): void;
  focus(): void;
  /** Presses a key that the person's keyboard may lack. */
  press(key: ConsoleKey): void;
  /** Types a text; what could not be typed, in words. */
  type(text: string): Promise<string>;
}

export type MakeView = (place: HTMLElement, link: () => ConsoleLink) => ConsoleView;
