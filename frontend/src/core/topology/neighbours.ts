/** Who is at the other ends of hosts' NICs, as their lldpd heard it; and, where nobody heard anything, why. */
import { gettext, ngettext } from "../gettext";
import { isUplink } from "./cards";
import type { HostData, Inventory, NeighbourData, PortData } from "./model";

/** The neighbours at a port's NIC, or at a bond's members. */
export function atNic(host: HostData, port: PortData): NeighbourData[] {
  return (host.neighbours ?? []).filter((one) => one.nic === port.name || port.members.includes(one.nic));
}

/** Those of NICs that no bridge has, which the box of the underlay NIC stands for. */
export function carriesUnderlay(host: HostData): NeighbourData[] {
  const ports = host.bridges.flatMap((bridge) => bridge.ports);
  return (host.neighbours ?? []).filter(
    (one) => !ports.some((port) => port.name === one.nic || port.members.includes(one.nic)),
  );
}

function nameOf(one: NeighbourData): string {
  return one.system || one.chassis;
}

/** For a box's line: "→ sw1 Gi1/0/3". */
export function nearWords(heard: readonly NeighbourData[]): string {
  const [first] = heard;
  if (!first) return "";
  const rest = heard.length > 1 ? ` +${heard.length - 1}` : "";
  return `→ ${nameOf(first)} ${first.port}${rest}`;
}

/** A panel's rows, one a neighbour. */
export function neighbourRows(heard: readonly NeighbourData[], withNic: boolean): [string, string][] {
  return heard.map((one) => [gettext("Neighbour"), neighbourWords(one, withNic)]);
}

function neighbourWords(one: NeighbourData, withNic: boolean): string {
  const described = one.description && one.description !== one.port ? ` (${one.description})` : "";
  const vlan = one.vlan
    ? gettext("VLAN %(vlan)s untagged", { vlan: one.vlan })
    : one.vlans.length > 0
      ? `VLAN ${one.vlans.join(", ")}`
      : "";
  const words = [
    nameOf(one),
    gettext("port %(number)s", { number: `${one.port}${described}` }),
    vlan,
    one.addresses.join(", "),
  ]
    .filter(Boolean)
    .join(", ");
  return withNic ? `${one.nic} → ${words}` : words;
}

/** What a NIC's panel says of its neighbours; nothing for what is no NIC, and for those who are not told of any. */
export function nicRows(host: HostData, port: PortData): [string, string][] {
  const rows = neighbourRows(atNic(host, port), port.members.length > 0);
  const uplink = host.bridges.some((bridge) => isUplink(bridge, port));
  return rows.length > 0 || !uplink ? rows : [["LLDP", lldpWords(host)]];
}

/** Why there is no neighbour; "" where there is one, or it is not told. */
export function lldpWords(host: HostData): string {
  switch (host.lldp) {
    case "answers":
      return host.neighbours?.length ? "" : gettext("lldpd runs, and has heard no neighbour");
    case "absent":
      return gettext("no lldpd was found on the host, so its neighbours are not known");
    case "unread":
      return gettext("lldpd could not be asked: %(problem)s", { problem: host.lldp_problem ?? "" });
    default:
      return "";
  }
}

/** What a search finds a host by. */
export function namesAt(host: HostData): string[] {
  return [...new Set((host.neighbours ?? []).map(nameOf))];
}

function namesOf(inventory: Inventory): string[] {
  return [...new Set([...inventory.hosts.values()].flatMap(namesAt))].sort();
}

const MOST_NAMES = 6;

/** Below the word "underlay". */
export function underlayLine(inventory: Inventory): string {
  const names = namesOf(inventory);
  const more = names.length > MOST_NAMES ? ` +${names.length - MOST_NAMES}` : "";
  if (names.length > 0)
    return gettext("the hosts' NICs lead to %(names)s, as LLDP tells; what is behind them is not seen", {
      names: `${names.slice(0, MOST_NAMES).join(", ")}${more}`,
    });
  return whyNone(inventory, gettext("what happens between the hosts' NICs is not seen"));
}

/** In the panel of the underlay. */
export function underlayKnown(inventory: Inventory): string {
  const count = namesOf(inventory).length;
  if (count > 0)
    return ngettext(
      "its ends, and %(count)s neighbour of them by LLDP",
      "its ends, and %(count)s neighbours of them by LLDP",
      count,
    );
  return whyNone(inventory, gettext("only its ends, so what is between them is inferred"));
}

function whyNone(inventory: Inventory, what: string): string {
  const states = [...inventory.hosts.values()].map((host) => host.lldp ?? "");
  const asked = states.filter((state) => state === "answers").length;
  const told = states.filter(Boolean).length;
  if (told === 0) return what;
  if (asked === 0) return `${what}: ${gettext("no host has an lldpd that could be asked")}`;
  return `${what}: ${ngettext("the lldpd of %(count)s host has heard no neighbour", "the lldpds of %(count)s hosts have heard no neighbour", asked)}`;
}
