/** From a thing on the picture back to what it is: its host, its data, the rate that it carries. */
import {
  type BridgeData,
  type GuestData,
  type HostData,
  type Inventory,
  type NicData,
  type PortData,
  type Rate,
  rateOf,
  SILENT,
  STALE_S,
  split,
  sumOf,
} from "./model";
import type { Box, Cable, Card, Wire } from "./scene";

export type Thing =
  | { kind: "host"; host: HostData }
  | { kind: "guest"; id: string; guest: GuestData }
  | {
      kind: "tap";
      host: HostData;
      port: string;
      guest: [string, GuestData, NicData] | null;
      data: PortData | null;
    }
  | { kind: "taps"; host: HostData }
  | { kind: "bridge"; host: HostData; bridge: BridgeData }
  | { kind: "others"; host: HostData }
  | { kind: "nic"; host: HostData }
  | { kind: "more"; host: HostData; where: string }
  | { kind: "network"; uuid: string }
  | { kind: "router"; uuid: string }
  | { kind: "mesh"; hosts: string[] }
  | { kind: "wire" }
  | { kind: "group"; name: string };

/** What the object of an id is; null for what is no longer there. */
export function thingOf(inventory: Inventory, id: string): Thing | null {
  const guest = inventory.guests.get(id);
  if (guest) return { kind: "guest", id, guest };
  const [kind, name] = split(id);
  const [hostName = "", ...rest] = name.split("/");
  const host = inventory.hosts.get(hostName);
  const part = rest.join("/");
  if (kind === "network") return inventory.networks.has(name) ? { kind, uuid: name } : null;
  if (kind === "router") return inventory.routers.has(name) ? { kind, uuid: name } : null;
  if (kind === "group") return { kind, name };
  if (kind === "mesh") return meshThing(inventory, name);
  if (kind === "wire" || kind === "bar" || kind === "up") return { kind: "wire" };
  if (!host) return null;
  if (kind === "bridge") {
    const bridge = host.bridges.find((one) => one.name === part);
    return bridge ? { kind, host, bridge } : null;
  }
  if (kind === "port")
    return {
      kind: "tap",
      host,
      port: part,
      guest: guestOf(inventory, hostName, part),
      data: portOf(host, part),
    };
  if (kind === "more") return { kind, host, where: part };
  if (kind === "host" || kind === "taps" || kind === "others" || kind === "nic") return { kind, host };
  return null;
}

function meshThing(inventory: Inventory, name: string): Thing | null {
  const hosts = name === "all" ? [...inventory.hosts.keys()] : name.split("|");
  return hosts.every((host) => inventory.hosts.has(host)) ? { kind: "mesh", hosts } : null;
}

function portOf(host: HostData, name: string): PortData | null {
  for (const bridge of host.bridges) for (const port of bridge.ports) if (port.name === name) return port;
  return null;
}

/** The guest and NIC of a tap. */
function guestOf(inventory: Inventory, host: string, tap: string): [string, GuestData, NicData] | null {
  const id = inventory.taps.get(`${host}|${tap}`) ?? "";
  const guest = inventory.guests.get(id);
  const nic = guest?.nics.find((one) => one.tap === tap);
  return guest && nic ? [id, guest, nic] : null;
}

/** The rate of a box or wire of a card: a host's card gives the host, a logical block's ports say it themselves. */
export function rateOn(inventory: Inventory, card: Card, on: Box | Wire, nowS: number): Rate {
  const host = card.id.startsWith("host:") ? card.id.slice("host:".length) : "";
  if (on.ports.length === 0) return SILENT;
  if (on.ports.length === 1 && host) return rateOf(inventory, host, on.ports[0] ?? "", nowS);
  return sumOf(on.ports.map((port) => portRate(inventory, host, port, nowS)));
}

function portRate(inventory: Inventory, host: string, port: string, nowS: number): Rate {
  const at = host ? -1 : port.indexOf("|");
  return at < 0
    ? rateOf(inventory, host, port, nowS)
    : rateOf(inventory, port.slice(0, at), port.slice(at + 1), nowS);
}

export function tunnelsOf(host: HostData): string[] {
  return host.bridges.flatMap((bridge) =>
    bridge.ports.filter((port) => port.kind === "tunnel").map((port) => port.name),
  );
}

export function hostRate(inventory: Inventory, name: string, nowS: number): Rate {
  const traffic = inventory.traffic.get(name);
  if (!traffic || nowS - traffic.at > STALE_S) return SILENT;
  const sum = { bps: 0, pps: 0, lost: 0 };
  for (const port in traffic.ports) {
    const numbers = traffic.ports[port] ?? [];
    sum.pps += (numbers[0] ?? 0) + (numbers[1] ?? 0);
    sum.bps += (numbers[2] ?? 0) + (numbers[3] ?? 0);
    sum.lost += numbers[4] ?? 0;
  }
  return sum;
}

/**
 * A cable's rate, or null where no counter tells it: a tunnel port counts for all its peers together, so a pair is known
 * only when the two hosts have nobody else to talk to.
 */
export function cableRate(inventory: Inventory, cable: Cable, nowS: number): Rate | null {
  if (cable.layer === "guest") return SILENT;
  const tunnels = (name: string): Rate => {
    const host = inventory.hosts.get(name);
    return host ? sumOf(tunnelsOf(host).map((port) => rateOf(inventory, name, port, nowS))) : SILENT;
  };
  if (cable.layer === "overlay") {
    if (cable.hosts.length === 1) return tunnels(cable.hosts[0] ?? "");
    if (cable.hosts.length === 2 && inventory.hosts.size > 2) return null;
    const [first = SILENT, ...rest] = cable.hosts.map(tunnels);
    if (cable.hosts.length === 2) return rest[0] && rest[0].bps > first.bps ? rest[0] : first;
    const sum = sumOf([first, ...rest]);
    return { ...sum, bps: sum.bps / 2, pps: sum.pps / 2 }; // each packet was counted where it left and where it came
  }
  const port = cable.id.startsWith("up:port:") ? cable.id.slice("up:port:".length) : "";
  const [host = "", ...name] = port.split("/");
  return port ? rateOf(inventory, host, name.join("/"), nowS) : null;
}
