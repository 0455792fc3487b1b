/** Where a selected thing leads: its own page, a trace from it, its bridge's flows. */
import { gettext } from "../gettext";
import { BRIDGE } from "./cards";
import { type GuestData, type NicData, split } from "./model";

export interface Link {
  title: string;
  url: string;
}

export interface Urls {
  vm: string;
  trace: string;
  flows: string;
  networks: string;
  /** Of operators: a host's page, and the form that follows a packet from a port of a bridge. */
  host: string;
  packet: string;
}

export function guestLinks(urls: Urls, uuid: string, guest: GuestData): Link[] {
  const links: Link[] = [];
  const source = guest.nics[0]?.uuid;
  const plugged = guest.nics.find((nic) => nic.tap);
  if (guest.kind === "vm" && urls.vm && guest.since >= 0)
    links.push({ title: gettext("Open its page"), url: urls.vm.replace("{uuid}", uuid) });
  if (guest.kind === "vm" && urls.trace && source)
    links.push({ title: gettext("Trace from here"), url: `${urls.trace}?source=${source}` });
  if (plugged) links.push(...packetLinks(urls, guest.host, BRIDGE, plugged.tap, plugged));
  return links;
}

export function dropsUrl(urls: Urls, id: string): string {
  return urls.vm ? `${urls.vm.replace("{uuid}", split(id)[1])}#drops` : "";
}

export function pageLinks(url: string, place: string, key: string, name: string): Link[] {
  if (!url) return [];
  return [
    {
      title: gettext("Open the page of %(name)s", { name }),
      url: url.replace(place, encodeURIComponent(key)),
    },
  ];
}

/** To the form that follows a packet as it comes in at a port: with the addresses that its guest has. */
export function packetLinks(urls: Urls, host: string, bridge: string, port: string, nic?: NicData): Link[] {
  if (!urls.packet || !host) return [];
  const given = new URLSearchParams({ in_port: port });
  if (nic?.mac) given.set("dl_src", nic.mac);
  if (nic?.addresses[0]) given.set("source", nic.addresses[0]);
  const url = urls.packet
    .replace("HOST", encodeURIComponent(host))
    .replace("BRIDGE", encodeURIComponent(bridge));
  return [{ title: gettext("Follow a packet from here"), url: `${url}?${given}` }];
}

export function flowLinks(urls: Urls, host: string, bridge: string): Link[] {
  if (!urls.flows) return [];
  const url = urls.flows
    .replace("HOST", encodeURIComponent(host))
    .replace("BRIDGE", encodeURIComponent(bridge));
  return [{ title: gettext("Flow tables of %(bridge)s", { bridge }), url }];
}
