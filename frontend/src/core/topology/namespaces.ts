/** The words of network namespaces: in their panels, their ports' and their host's. */
import { gettext } from "../gettext";
import {
  type GuestData,
  type HostData,
  type Inventory,
  type NamespaceData,
  type NamespaceInterface,
  naturally,
} from "./model";

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
