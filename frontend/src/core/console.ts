/**
 * The page's end of a console: asks for a ticket, opens the socket, tells what it took, and comes back after a loss.
 * It knows no terminal: bytes go to `show`, which answers when it has taken them.
 */
import { gettext } from "./gettext";
export interface Pen {
  mine: boolean;
  may_write: boolean;
  writer: string;
  people: string[];
}

/** off: the guest is, looked at again; lost: trying again; ended: only by hand. */
export type ConsoleState = "connecting" | "open" | "off" | "lost" | "ended";

export interface Wire {
  binaryType: string;
  readonly bufferedAmount: number;
  send(data: string | Uint8Array): void;
  close(): void;
  onopen: ((event: Event) => void) | null;
  onclose: ((event: CloseEvent) => void) | null;
  onmessage: ((event: MessageEvent) => void) | null;
}

export type TicketAnswer = { ticket: string; socket: string } | { off: string } | { refused: string };

interface ConsoleSurroundings {
  ticket(): Promise<TicketAnswer>;
  open(path: string): Wire;
  later(callback: () => void, delayMs: number): void;
}

interface ConsoleListener {
  state(state: ConsoleState, words: string): void;
  pen(pen: Pen): void;
  /** The next `bytes` were said before: what a terminal would answer to them must not be sent. */
  scrollback(bytes: number): void;
  skipped(bytes: number): void;
  show(data: Uint8Array, taken: () => void): void;
}

const OFF = 4409;
const NO_RETURN = new Set([4400, 4401, 4403, 4404, 4429]);
const FIRST_PAUSE_MS = 500;
const LONGEST_PAUSE_MS = 8000;
const OFF_PAUSE_MS = 3000;
const ACK_BYTES = 32 * 1024;
const PIECE_BYTES = 16 * 1024;
const FULL_BYTES = 64 * 1024;
const DRAIN_MS = 20;

export class ConsoleLink {
  state: ConsoleState = "connecting";
  private wire: Wire | null = null;
  private pauseMs = FIRST_PAUSE_MS;
  private untold = 0;
  private words = "";
  private code = 0;
  private outgoing: Uint8Array[] = [];
  private draining = false;
  private round = 0;

  constructor(
    private around: ConsoleSurroundings,
    private listener: ConsoleListener,
  ) {}

  /** Opens it now, whatever it waited for; leaves an open one alone. */
  async connect(): Promise<void> {
    if (this.wire) return;
    this.round += 1;
    const round = this.round;
    if (this.state !== "off") this.tell("connecting", ""); // looking after a guest that is off says nothing new
    let answer: TicketAnswer;
    try {
      answer = await this.around.ticket();
    } catch {
      return this.again(round);
    }
    if (round !== this.round || this.wire) return;
    if ("off" in answer) return this.waitForGuest(answer.off);
    if ("refused" in answer) return this.tell("ended", answer.refused);
    this.listen(this.around.open(answer.socket), answer.ticket, round);
  }

  /** Sends what was typed, in pieces, no faster than the socket takes them. */
  send(data: Uint8Array): void {
    if (this.state !== "open") return;
    for (let at = 0; at < data.length; at += PIECE_BYTES)
      this.outgoing.push(data.slice(at, at + PIECE_BYTES));
    this.drain();
  }

  take(): void {
    if (this.state === "open") this.wire?.send(JSON.stringify({ take: true }));
  }

  private listen(wire: Wire, ticket: string, round: number): void {
    this.wire = wire;
    this.words = "";
    this.code = 0;
    this.untold = 0;
    this.outgoing = [];
    wire.binaryType = "arraybuffer";
    wire.onopen = () => wire.send(JSON.stringify({ ticket }));
    wire.onmessage = (message) => {
      if (typeof message.data === "string") this.hear(JSON.parse(message.data) as Record<string, unknown>);
      else this.show(new Uint8Array(message.data as ArrayBuffer), wire);
    };
    wire.onclose = (event) => this.closed(event.code, round);
  }

  private show(data: Uint8Array, wire: Wire): void {
    this.listener.show(data, () => {
      this.untold += data.length;
      if (this.untold < ACK_BYTES || wire !== this.wire) return;
      wire.send(JSON.stringify({ ack: this.untold }));
      this.untold = 0;
    });
  }

  private hear(told: Record<string, unknown>): void {
    if (told.pen) {
      this.pauseMs = FIRST_PAUSE_MS;
      if (this.state !== "open") this.tell("open", "");
      this.listener.pen(told.pen as Pen);
    } else if (typeof told.scrollback === "number") this.listener.scrollback(told.scrollback);
    else if (typeof told.skipped === "number") this.listener.skipped(told.skipped);
    else if (typeof told.closed === "string") {
      this.words = told.closed;
      this.code = Number(told.code);
    }
  }

  private closed(socketCode: number, round: number): void {
    this.wire = null;
    const code = this.code || socketCode;
    if (code === OFF) this.waitForGuest(this.words);
    else if (NO_RETURN.has(code))
      this.tell("ended", this.words || gettext("The server refused the console."));
    else this.again(round);
  }

  private waitForGuest(words: string): void {
    this.tell("off", words);
    this.comeBack(OFF_PAUSE_MS);
  }

  private again(round: number): void {
    if (round !== this.round) return;
    this.tell("lost", this.words || gettext("The connection was lost."));
    this.comeBack(this.pauseMs);
    this.pauseMs = Math.min(this.pauseMs * 2, LONGEST_PAUSE_MS);
  }

  private comeBack(pauseMs: number): void {
    const round = this.round;
    this.around.later(() => {
      if (round === this.round) void this.connect();
    }, pauseMs);
  }

  private drain(): void {
    if (this.draining) return;
    while (this.outgoing.length > 0 && this.wire) {
      if (this.wire.bufferedAmount > FULL_BYTES) {
        this.draining = true;
        this.around.later(() => {
          this.draining = false;
          this.drain();
        }, DRAIN_MS);
        return;
      }
      const piece = this.outgoing.shift();
      if (piece) this.wire.send(piece);
    }
  }

  private tell(state: ConsoleState, words: string): void {
    this.state = state;
    this.listener.state(state, words);
  }
}

/** The page's own surroundings: tickets from `url` for a console of this kind. */
export function consoleSurroundings(url: string, kind: string): ConsoleSurroundings {
  return {
    ticket: async () => {
      const body = new URLSearchParams({ kind });
      const token = document.querySelector<HTMLInputElement>("input[name=csrfmiddlewaretoken]")?.value ?? "";
      const headers = { "X-CSRFToken": token, Accept: "application/json" };
      const answer = await fetch(url, { method: "POST", body, headers, redirect: "manual" });
      if (answer.ok) return (await answer.json()) as TicketAnswer;
      if (answer.status === 404)
        return { refused: gettext("There is no such VM, or it is not yours to see any more.") };
      if (answer.status === 403 || answer.type === "opaqueredirect")
        return { refused: gettext("You are logged out: load the page again.") };
      throw new Error(`ticket: ${answer.status}`);
    },
    open: (path) =>
      new WebSocket(`${location.protocol === "https:" ? "wss" : "ws"}://${location.host}${path}`) as Wire,
    later: (callback, delayMs) => void setTimeout(callback, delayMs),
  };
}
