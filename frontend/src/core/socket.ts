/**
 * One WebSocket for all topics of the page. It reconnects with a growing pause, joins again, and fetches a topic's
 * snapshot again after a gap, after "lagging" and after every reconnect. "stale": the server is there, but no event comes through.
 */
import { applyEvents, type LiveEvent, replay, type Snapshot, type View, viewOf } from "./live";

export type Connection = "connecting" | "live" | "stale" | "reconnecting" | "ended";
export type Change = { kind: "snapshot"; view: View } | { kind: "event"; view: View; event: LiveEvent };
type Listener = (change: Change) => void;

export interface Wire {
  send(text: string): void;
  close(): void;
  onopen: ((event: Event) => void) | null;
  onclose: ((event: CloseEvent) => void) | null;
  onmessage: ((event: MessageEvent) => void) | null;
}

interface Surroundings {
  open(): Wire;
  snapshot(topic: string): Promise<Snapshot>;
  later(callback: () => void, delayMs: number): void;
}

interface Topic {
  listeners: Set<Listener>;
  view: View | null;
  waiting: LiveEvent[];
  fetching: boolean;
  again: boolean;
}

const FIRST_PAUSE_MS = 250;
const LONGEST_PAUSE_MS = 8000;
const LOGGED_OUT = 4401; // portal/live/consumers.py

export class LiveSocket {
  private topics = new Map<string, Topic>();
  private wire: Wire | null = null;
  private opened = false;
  private pauseMs = FIRST_PAUSE_MS;
  private statusListeners = new Set<(status: Connection) => void>();
  status: Connection = "connecting";

  constructor(private around: Surroundings) {}

  /** Calls back with each snapshot and event of a topic until the returned function is called. */
  join(name: string, listener: Listener): () => void {
    let topic = this.topics.get(name);
    if (!topic) {
      topic = { listeners: new Set(), view: null, waiting: [], fetching: false, again: false };
      this.topics.set(name, topic);
      if (this.opened) this.wire?.send(JSON.stringify({ join: name }));
    }
    topic.listeners.add(listener);
    if (topic.view) listener({ kind: "snapshot", view: topic.view });
    if (!this.wire) this.connect();
    return () => this.leave(name, listener);
  }

  /** Opens the connection of a page that joins no topic, so that its state can be shown. */
  connectNow(): void {
    if (!this.wire) this.connect();
  }

  onStatus(listener: (status: Connection) => void): void {
    this.statusListeners.add(listener);
    listener(this.status);
  }

  /** Said by who was told that nobody is logged in any more: a refused handshake does not say why. */
  sayEnded(): void {
    if (!this.opened) this.tell("ended");
  }

  private leave(name: string, listener: Listener): void {
    const topic = this.topics.get(name);
    topic?.listeners.delete(listener);
    if (!topic || topic.listeners.size > 0) return;
    this.topics.delete(name);
    if (this.opened) this.wire?.send(JSON.stringify({ leave: name }));
  }

  private connect(): void {
    const wire = this.around.open();
    this.wire = wire;
    wire.onopen = () => {
      this.opened = true;
      for (const name of this.topics.keys()) wire.send(JSON.stringify({ join: name }));
      this.tell("live");
    };
    wire.onmessage = (message) => this.receive(String(message.data));
    wire.onclose = (event) => {
      this.opened = false;
      this.tell(event.code === LOGGED_OUT || this.status === "ended" ? "ended" : "reconnecting");
      this.around.later(() => this.connect(), this.pauseMs);
      this.pauseMs = Math.min(this.pauseMs * 2, LONGEST_PAUSE_MS);
    };
  }

  private tell(status: Connection): void {
    this.status = status;
    for (const listener of this.statusListeners) listener(status);
  }

  /** A frame is one message or an array of them; the events of a topic are taken together. */
  private receive(text: string): void {
    const frame = JSON.parse(text) as Record<string, unknown> | Record<string, unknown>[];
    const events = new Map<string, LiveEvent[]>();
    for (const message of Array.isArray(frame) ? frame : [frame]) {
      if (typeof message.joined === "string") {
        this.pauseMs = FIRST_PAUSE_MS;
        void this.refetch(message.joined);
      } else if (typeof message.lagging === "string") void this.refetch(message.lagging);
      else if (typeof message.stale === "boolean") this.tell(message.stale ? "stale" : "live");
      else if (typeof message.topic === "string") {
        const batch = events.get(message.topic) ?? [];
        batch.push(message as unknown as LiveEvent);
        events.set(message.topic, batch);
      }
    }
    for (const [topic, batch] of events) this.take(topic, batch);
  }

  private take(name: string, events: LiveEvent[]): void {
    const topic = this.topics.get(name);
    if (!topic) return;
    if (topic.fetching || !topic.view) {
      topic.waiting.push(...events);
      return;
    }
    const { view, applied, rest } = applyEvents(topic.view, events);
    topic.view = view;
    for (const event of applied)
      for (const listener of topic.listeners) listener({ kind: "event", view, event });
    if (rest.length > 0) {
      topic.waiting.push(...rest);
      void this.refetch(name);
    }
  }

  private async refetch(name: string): Promise<void> {
    const topic = this.topics.get(name);
    if (!topic) return;
    topic.again = topic.fetching;
    if (topic.fetching) return;
    topic.fetching = true;
    let snapshot: Snapshot;
    try {
      snapshot = await this.around.snapshot(name);
    } catch {
      topic.fetching = false;
      this.around.later(() => void this.refetch(name), 1000);
      return;
    }
    topic.fetching = false;
    const { view, outcome } = replay(viewOf(snapshot), topic.waiting);
    topic.waiting = [];
    topic.view = view;
    for (const listener of topic.listeners) listener({ kind: "snapshot", view });
    if (topic.again || outcome === "gap") this.around.later(() => void this.refetch(name), 50);
  }
}

/** The page's own surroundings: the server this page came from. */
function browserSurroundings(): Surroundings {
  return {
    open: () => new WebSocket(`${location.protocol === "https:" ? "wss" : "ws"}://${location.host}/ws/live`),
    snapshot: async (topic) => {
      const path = topic.split("/").map(encodeURIComponent).join("/");
      const answer = await fetch(`/api/v1/live/${path}`, { headers: { Accept: "application/json" } });
      if (!answer.ok) throw new Error(`snapshot of ${topic}: ${answer.status}`);
      return (await answer.json()) as Snapshot;
    },
    later: (callback, delayMs) => void setTimeout(callback, delayMs),
  };
}

let shared: LiveSocket | null = null;

/** The one socket of this page. */
export function live(): LiveSocket {
  shared ??= new LiveSocket(browserSurroundings());
  return shared;
}
