/** Finding a thing by any word that people have for it: name, address, MAC, tap, port, VNI, host. */
import { gettext } from "../gettext";
import { bridgeId, portId } from "./cards";
import { type Inventory, naturally } from "./model";
import { namesAt } from "./neighbours";

export interface Found {
  id: string;
  name: string;
  /** What of it matched, or what it is. */
  note: string;
}

const MOST = 12;

/** Best first: the beginning of a name, then the beginning of another word, then anywhere. */
export function search(inventory: Inventory, text: string): Found[] {
  const wanted = text.trim().toLowerCase();
  if (!wanted) return [];
  const found: [number, Found][] = [];
  for (const entry of entries(inventory)) {
    const rank = rankOf(entry, wanted);
    if (rank)
      found.push([
        rank.rank,
        { id: entry.id, name: entry.name, note: rank.word === entry.name ? entry.note : rank.word },
      ]);
  }
  found.sort(([rankA, a], [rankB, b]) => rankA - rankB || naturally(a.name, b.name));
  return found.slice(0, MOST).map(([, one]) => one);
}

interface Entry {
  id: string;
  name: string;
  note: string;
  words: string[];
}

function rankOf(entry: Entry, wanted: string): { rank: number; word: string } | null {
  let best: { rank: number; word: string } | null = null;
  for (const word of [entry.name, ...entry.words]) {
    const at = word.toLowerCase().indexOf(wanted);
    if (at < 0) continue;
    const whole = word.length === wanted.length ? 0 : 1;
    const rank = (at > 0 ? 4 : 0) + whole + (word === entry.name ? 0 : 2);
    if (!best || rank < best.rank) best = { rank, word };
  }
  return best;
}

function* entries(inventory: Inventory): Generator<Entry> {
  for (const [id, guest] of inventory.guests) {
    const words = guest.nics.flatMap((nic) => [
      ...nic.addresses,
      ...(nic.floating ?? []),
      nic.mac,
      nic.tap,
      nic.ofport ? gettext("port %(number)s", { number: nic.ofport }) : "",
    ]);
    yield {
      id,
      name: guest.name,
      note: guest.host ? gettext("on %(host)s", { host: guest.host }) : gettext("on no host"),
      words: words.filter(Boolean),
    };
  }
  for (const [name, host] of inventory.hosts) {
    yield { id: `host:${name}`, name, note: gettext("host"), words: [host.underlay_ip, ...namesAt(host)] };
    for (const bridge of host.bridges) {
      yield {
        id: bridgeId(host, bridge.name),
        name: bridge.name,
        note: gettext("bridge of %(host)s", { host: name }),
        words: [],
      };
      for (const port of bridge.ports)
        yield {
          id: portId(host, port.name),
          name: port.name,
          note: gettext("%(kind)s of %(host)s", { kind: port.kind, host: name }),
          words: port.members,
        };
    }
  }
  for (const [uuid, network] of inventory.networks) {
    const number = network.vid
      ? [`VLAN ${network.vid}`, String(network.vid)]
      : [`VNI ${network.vni}`, String(network.vni)];
    const words = [...number, ...network.subnets, ...network.gateways];
    yield {
      id: `network:${uuid}`,
      name: network.name,
      note: gettext("network, %(carrier)s", { carrier: network.carried_by }),
      words,
    };
  }
  for (const [uuid, router] of inventory.routers)
    yield { id: `router:${uuid}`, name: router.name, note: gettext("router"), words: router.addresses };
}
