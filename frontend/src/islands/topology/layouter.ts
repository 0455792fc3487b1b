/** Has pictures made by the worker, one at a time, each within a deadline; a worker that misses it is ended. */
import { gettext } from "../../core/gettext";
import type { Card, Scene } from "../../core/topology/scene";
import type { Drawn, Order } from "./worker";

export interface Maker {
  postMessage(order: Order): void;
  terminate(): void;
  onmessage: ((message: MessageEvent<Drawn>) => void) | null;
  onerror: ((event: ErrorEvent) => void) | null;
}

interface Asking {
  make(): Maker;
  /** Everything that the picture is made of: for a worker that has to begin again. */
  everything(): [string, unknown][];
  drawn(scene: Scene, tookMs: number): void;
  trouble(words: string): void;
  later(callback: () => void, delayMs: number): number;
  never(timer: number): void;
}

const DEADLINE_MS = 3000;
const REST_MS = 80; // between two pictures: changes that come in it are taken together

export class Layouter {
  private maker: Maker | null = null;
  private cards = new Map<string, Card>();
  private waiting = new Map<string, unknown>();
  private number = 0;
  private busy = false;
  private afresh = true;
  private wanted = false;
  private coarse = false;
  private timer = 0;
  view: Scene["view"] = "physical";

  constructor(private asking: Asking) {}

  /** What changed since; a picture is made of it soon. */
  take(object: string, data: unknown): void {
    this.waiting.set(object, data);
    this.draw();
  }

  /** Everything anew: after a snapshot. */
  reset(): void {
    this.afresh = true;
    this.coarse = false;
    this.draw();
  }

  show(view: Scene["view"]): void {
    if (this.view === view && this.number > 0) return;
    this.view = view;
    this.draw();
  }

  end(): void {
    this.asking.never(this.timer);
    this.maker?.terminate();
    this.maker = null;
  }

  private draw(): void {
    this.wanted = true;
    if (this.busy) return;
    this.busy = true;
    queueMicrotask(() => this.send());
  }

  private send(): void {
    this.wanted = false;
    this.maker ??= this.made();
    this.number++;
    const entries = this.afresh ? this.asking.everything() : [...this.waiting];
    const order = { number: this.number, view: this.view, afresh: this.afresh, coarse: this.coarse, entries };
    this.waiting.clear();
    this.afresh = false;
    this.timer = this.asking.later(() => this.late(), DEADLINE_MS);
    this.maker.postMessage(order);
  }

  private made(): Maker {
    const maker = this.asking.make();
    maker.onmessage = (message) => this.receive(message.data);
    maker.onerror = () => this.late();
    return maker;
  }

  private receive(drawn: Drawn): void {
    if (drawn.number !== this.number) return;
    this.asking.never(this.timer);
    for (const card of drawn.changed) this.cards.set(card.id, card);
    const cards = drawn.order
      .map((id) => this.cards.get(id))
      .filter((card): card is Card => card !== undefined);
    this.cards = new Map(cards.map((card) => [card.id, card]));
    this.asking.drawn({ ...drawn.scene, cards }, drawn.tookMs);
    this.timer = this.asking.later(() => {
      this.busy = false;
      if (this.wanted) this.draw();
    }, REST_MS);
  }

  /** The deadline passed, or the worker broke: once more with less, then no more. */
  private late(): void {
    this.asking.never(this.timer);
    this.maker?.terminate();
    this.maker = null;
    if (this.coarse) {
      this.busy = false;
      this.asking.trouble(
        gettext("This network is too large to be drawn here: the table and the search show all of it."),
      );
      return;
    }
    this.coarse = true;
    this.afresh = true;
    this.asking.trouble(
      gettext("Drawing took longer than %(seconds)s s: hosts are shown with sums, without their guests.", {
        seconds: DEADLINE_MS / 1000,
      }),
    );
    this.send();
  }
}
