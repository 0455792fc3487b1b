/** Network namespaces on the map: each stands among its host's guests, with a cable to what it is plugged into. */
import { gettext } from "../gettext";
import type { GuestData, HostData, Inventory, NamespaceData, NamespaceInterface } from "./model";
import { naturally } from "./model";

export const NAMESPACE = "namespace";

/** A namespace as a guest: a NIC an interface. `taps` are the ports of br-int that are drawn with it. */
export function namespaceGuest(data: NamespaceData): GuestData {
  const nics = data.interfaces.map((one) => ({
    uuid: `${data.host}/${data.name}/${one.name}`,
    network: "",
    mac: one.mac,
    tap: data.taps.includes(one.port) ? one.port : "",
    ofport: 0,
    addresses: one.addresses,
  }));
  const isUp = data.interfaces.some((one) => one.state !== "DOWN");
  const words = { kind: NAMESPACE, vcpus: 0, ram_mib: 0, since: Number.MAX_VALUE };
  return {
    ...words,
    name: data.name,
    host: data.host,
    state: isUp ? "running" : "stopped",
    nics,
    space: data,
  };
}

/** The ports of the host that its cables end at, beside those that are drawn as its taps. */
export function cablesOf(guest: GuestData): string[] {
  const { space } = guest;
  if (!space) return [];
  return space.interfaces.map((one) => one.port).filter((port) => port && !space.taps.includes(port));
}

function interfaceWords(one: NamespaceInterface): string {
  const bridge = one.bridge ? gettext("in %(bridge)s", { bridge: one.bridge }) : "";
  const state = one.state === "DOWN" ? gettext("down") : "";
  return [one.addresses.join(", ") || gettext("no address"), one.mac, bridge, state]
    .filter(Boolean)
    .join(", ");
}

function cableWords(one: NamespaceInterface): string {
  return one.port_bridge
    ? gettext("%(port)s, in the Linux bridge %(bridge)s", { port: one.port, bridge: one.port_bridge })
    : one.port;
}

/** A panel's rows: each interface, and where its cable ends on the host. */
export function namespaceRows(guest: GuestData): [string, string][] {
  return (guest.space?.interfaces ?? []).flatMap((one): [string, string][] => [
    [one.name, interfaceWords(one)],
    [gettext("Cabled to"), one.port ? cableWords(one) : ""],
  ]);
}

const ADDRESSES = "ip -d address";

export function namespaceCommand(guest: GuestData): string[] {
  const name = guest.name;
  const process = /^pid (\d+)$/.exec(name)?.[1];
  if (process) return [`nsenter -t ${process} -n ${ADDRESSES}`];
  const quoted = /^[\w.:@-]+$/.test(name) ? name : `'${name.replaceAll("'", "'\\''")}'`;
  return [`ip netns exec ${quoted} ${ADDRESSES}`];
}

function spacesOf(inventory: Inventory, host: string): NamespaceData[] {
  const found: NamespaceData[] = [];
  for (const guest of inventory.guests.values())
    if (guest.space && guest.host === host) found.push(guest.space);
  return found.sort((a, b) => naturally(a.name, b.name));
}

/** For a port's panel: where its cable leads, where that is a namespace. */
export function leadsInto(inventory: Inventory, host: string, port: string): string {
  for (const space of spacesOf(inventory, host))
    for (const one of space.interfaces)
      if (port && one.port === port)
        return gettext("namespace %(name)s, interface %(interface)s %(address)s", {
          name: space.name,
          interface: one.name,
          address: one.addresses.join(", "),
        }).trim();
  return "";
}

const MOST_NAMES = 12;

/** For a host's panel: its namespaces by name, and why they are not known. */
export function namespacesWords(inventory: Inventory, host: HostData): string {
  const names = spacesOf(inventory, host.name).map((one) => one.name);
  const more = names.length > MOST_NAMES ? ` +${names.length - MOST_NAMES}` : "";
  const told = names.length > 0 ? `${names.slice(0, MOST_NAMES).join(", ")}${more}` : "";
  if (host.netns === "unread") {
    const why = gettext("could not be read: %(problem)s", { problem: host.netns_problem ?? "" });
    return told ? `${told} (${why})` : why;
  }
  return told || (host.netns === "read" ? gettext("none that its cables lead into") : "");
}
