/** The words of boxes and of the selection: a title, a line, facts, the commands that tell the same, and where to go. */
import { BRIDGE } from "./cards";
import { type Thing, thingOf, tunnelsOf } from "./lookup";
import type { GuestData, HostData, Inventory, NetworkData } from "./model";
import type { Box } from "./scene";

export interface Label {
  title: string;
  /** Said below the title where there is room. */
  line: string;
  mono: boolean;
  foreign: boolean;
}

export function labelOf(inventory: Inventory, box: Box): Label {
  const known = inventory.guests.get(box.id);
  if (known)
    return { title: known.name, line: addressOf(known), mono: true, foreign: known.kind === "foreign" };
  const thing = thingOf(inventory, box.id);
  const label = (title: string, line = "", mono = false, foreign = false): Label => ({
    title,
    line,
    mono,
    foreign,
  });
  if (!thing) return label(box.id.startsWith("external:") ? box.id.slice("external:".length) : "");
  switch (thing.kind) {
    case "guest":
      return label(thing.guest.name, addressOf(thing.guest), true, thing.guest.kind === "foreign");
    case "tap":
      return label(thing.port, portLine(thing), thing.guest !== null, thing.data?.foreign ?? false);
    case "taps":
      return label(`${box.ports.length} taps`);
    case "bridge":
      return label(thing.bridge.name, bridgeLine(thing.bridge), false, thing.bridge.foreign);
    case "others":
      return label(othersLine(thing.host));
    case "nic":
      return label("underlay NIC", `${thing.host.underlay_ip}, not on a bridge`);
    case "more":
      return label(`${box.ports.length} more`);
    case "network":
      return networkLabel(inventory, thing.uuid);
    case "router": {
      const router = inventory.routers.get(thing.uuid);
      return label(router?.name ?? "", router?.addresses.join(", ") ?? "", true);
    }
    case "wire":
      return label(
        "underlay",
        "what happens between the hosts' NICs is not seen: no LLDP neighbour is known",
      );
    default:
      return label("");
  }
}

export function addressOf(guest: GuestData): string {
  for (const nic of guest.nics) if (nic.addresses[0]) return nic.addresses[0];
  return "";
}

export function othersLine(host: HostData): string {
  const { guests, ports, bridges } = host.others;
  const parts = [plural(guests, "other VM"), plural(ports, "other port"), plural(bridges, "other bridge")];
  return parts.filter((part) => !part.startsWith("0 ")).join(", ");
}

export function plural(count: number, word: string): string {
  return `${count} ${word}${count === 1 ? "" : "s"}`;
}

function networkLabel(inventory: Inventory, uuid: string): Label {
  const network = inventory.networks.get(uuid);
  if (!network) return { title: "", line: "", mono: false, foreign: false };
  const line = [...network.subnets, network.carried_by, `mtu ${network.mtu}`].join(", ");
  return { title: network.name, line, mono: true, foreign: false };
}

function bridgeLine(bridge: Extract<Thing, { kind: "bridge" }>["bridge"]): string {
  if (bridge.name !== BRIDGE) return plural(bridge.ports.length, "port");
  const words = { connected: "controller connected", away: "controller away", none: "no controller" };
  return words[bridge.controller as keyof typeof words] ?? bridge.controller;
}

function portLine(thing: Extract<Thing, { kind: "tap" }>): string {
  const { data, guest } = thing;
  if (guest) return guest[2].ofport ? `port ${guest[2].ofport}` : "";
  if (!data) return "";
  if (data.kind === "tunnel") return data.remote_ip === "flow" ? "to any host" : data.remote_ip;
  const speed = data.speed_bps
    ? `${data.speed_bps / 1e9 >= 1 ? `${data.speed_bps / 1e9}G` : `${data.speed_bps / 1e6}M`}`
    : "";
  return [speed, data.mtu ? `mtu ${data.mtu}` : data.kind].filter(Boolean).join(", ");
}

export interface Link {
  title: string;
  url: string;
}

export interface Facts {
  kind: string;
  title: string;
  /** "" or a state in words, and whether it is good. */
  state: string;
  good: boolean;
  rows: [string, string][];
  commands: string[];
  links: Link[];
  /** Whose drops can be told: uuids of a VM's ports; and the page that has more of them. */
  ports: string[];
  drops: string;
}

export interface Urls {
  vm: string;
  trace: string;
  flows: string;
  networks: string;
}

export function factsOf(inventory: Inventory, id: string, urls: Urls): Facts | null {
  const thing = thingOf(inventory, id);
  if (!thing) return null;
  switch (thing.kind) {
    case "guest":
      return guestFacts(inventory, thing.id, thing.guest, urls);
    case "tap":
      return portFacts(inventory, thing, urls);
    case "bridge":
      return bridgeFacts(thing, urls);
    case "network":
      return networkFacts(inventory, thing.uuid, urls);
    case "router":
      return routerFacts(inventory, thing.uuid);
    case "mesh":
      return meshFacts(inventory, thing.hosts);
    case "wire":
      return wireFacts(inventory);
    case "group":
      return facts("Hosts", thing.name.split("#")[0] ?? "");
    default:
      return hostFacts(inventory, thing.host, urls);
  }
}

function facts(kind: string, title: string, more: Partial<Facts> = {}): Facts {
  const rows = (more.rows ?? []).filter(([, value]) => value !== "");
  return { kind, title, state: "", good: true, commands: [], links: [], ports: [], drops: "", ...more, rows };
}

const GUEST_KINDS: Record<string, string> = {
  vm: "Virtual machine",
  access: "Access port: this machine's own seat in the network",
  foreign: "Foreign VM: on the host, and in no team",
};

function guestFacts(inventory: Inventory, id: string, guest: GuestData, urls: Urls): Facts {
  const nics = guest.nics.flatMap((nic): [string, string][] => [
    ["Network", networkWords(inventory, nic.network)],
    ["Address", nic.addresses.join(", ")],
    ["Floating", (nic.floating ?? []).join(", ")],
    ["MAC", nic.mac],
    ["Tap", nic.tap ? `${nic.tap}${nic.ofport ? `, port ${nic.ofport} of ${BRIDGE}` : ""}` : "not plugged"],
  ]);
  const size = guest.vcpus ? `${guest.vcpus} vCPU, ${guest.ram_mib} MiB` : "";
  const uuid = id.slice(id.indexOf(":") + 1);
  const domain = guest.kind === "foreign" ? guest.name : `hs-${uuid}`;
  const commands =
    guest.kind === "access" ? [] : [`virsh dominfo ${quoted(domain)}`, `virsh domiflist ${quoted(domain)}`];
  const links: Link[] = [];
  if (guest.kind === "vm" && urls.vm)
    links.push({ title: "Open its page", url: urls.vm.replace("{uuid}", uuid) });
  return facts(GUEST_KINDS[guest.kind] ?? guest.kind, guest.name, {
    state: guest.state,
    good: guest.state === "running",
    rows: [["Team", guest.team ?? ""], ["Host", guest.host || "not placed yet"], ["Size", size], ...nics],
    commands: [...commands, ...guest.nics.filter((nic) => nic.tap).map((nic) => interfaceCommand(nic.tap))],
    links,
    ports: guest.kind === "vm" ? guest.nics.map((nic) => nic.uuid).filter(Boolean) : [],
    drops: guest.kind === "vm" ? dropsUrl(urls, id) : "",
  });
}

function dropsUrl(urls: Urls, id: string): string {
  return urls.vm ? `${urls.vm.replace("{uuid}", id.slice(id.indexOf(":") + 1))}#drops` : "";
}

function networkWords(inventory: Inventory, uuid: string): string {
  const network = inventory.networks.get(uuid);
  return network ? `${network.name}, ${network.carried_by}` : "";
}

/** The flows that take its packets in: from a tunnel, or from the VLAN (or untagged) behind br-ex. */
function networkCommand(network: NetworkData): string {
  const dump = `ovs-ofctl -O OpenFlow14 dump-flows ${BRIDGE}`;
  if (network.kind === "vlan") return `${dump} dl_vlan=${network.vid ?? 0}`;
  if (network.kind === "flat") return `${dump} table=0,vlan_tci=0`;
  return `${dump} tun_id=${network.vni}`;
}

function interfaceCommand(name: string): string {
  return `ovs-vsctl --columns=name,ofport,link_state,mtu,external_ids list Interface ${quoted(name)}`;
}

function quoted(word: string): string {
  return /^[\w.:@/-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`;
}

const PORT_KINDS: Record<string, string> = {
  tunnel: "Tunnel",
  patch: "Patch cable",
  veth: "Virtual cable (veth)",
  nic: "NIC",
  bond: "Bond",
  internal: "Internal port",
  tap: "Tap",
  "vhost-user": "vhost-user port",
};

function portFacts(inventory: Inventory, thing: Extract<Thing, { kind: "tap" }>, urls: Urls): Facts {
  const { host, port, guest, data } = thing;
  const bridge = host.bridges.find((one) => one.ports.some((other) => other.name === port))?.name ?? BRIDGE;
  const remote =
    data?.remote_ip === "flow" ? "any host, chosen by the flow (tun_dst)" : (data?.remote_ip ?? "");
  const rows: [string, string][] = [
    ["Host", host.name],
    ["Bridge", bridge],
    ["Port", String(data?.ofport || guest?.[2].ofport || "")],
    ["Guest", guest ? guest[1].name : ""],
    ["Network", guest ? networkWords(inventory, guest[2].network) : ""],
    ["MAC", guest ? guest[2].mac : ""],
    ["Far end", data?.peer || remote],
    ["Near end", data?.kind === "tunnel" ? host.underlay_ip : ""],
    ["Members", data?.members.join(", ") ?? ""],
    ["VLAN", data?.tag === null || data?.tag === undefined ? "" : String(data.tag)],
    ["MTU", data?.mtu ? String(data.mtu) : ""],
    ["Driver", data?.driver ?? ""],
    ["Trouble", data?.error ?? ""],
  ];
  const kind = `${data?.foreign ? "Foreign port, " : ""}${guest ? "Tap" : (PORT_KINDS[data?.kind ?? ""] ?? "Port")}`;
  return facts(kind, port, {
    state: data?.link ? `link ${data.link}` : "",
    good: data?.link !== "down",
    rows,
    commands: [interfaceCommand(port), "ovs-appctl dpctl/show -s"],
    links: flowLinks(urls, host.name, bridge),
    ports: guest && guest[1].kind === "vm" && guest[2].uuid ? [guest[2].uuid] : [],
    drops: guest && guest[1].kind === "vm" ? dropsUrl(urls, guest[0]) : "",
  });
}

function flowLinks(urls: Urls, host: string, bridge: string): Link[] {
  if (!urls.flows) return [];
  const url = urls.flows
    .replace("HOST", encodeURIComponent(host))
    .replace("BRIDGE", encodeURIComponent(bridge));
  return [{ title: `Flow tables of ${bridge}`, url }];
}

function bridgeFacts(thing: Extract<Thing, { kind: "bridge" }>, urls: Urls): Facts {
  const { host, bridge } = thing;
  return facts(bridge.foreign ? "Foreign bridge" : "Bridge", bridge.name, {
    state: bridge.name === BRIDGE ? `controller ${bridge.controller}` : "",
    good: bridge.controller !== "away",
    rows: [
      ["Host", host.name],
      ["Datapath", bridge.datapath === "netdev" ? "netdev (userspace)" : bridge.datapath],
      ["Fail mode", bridge.fail_mode || "standalone"],
      ["Ports", bridge.ports.map((port) => port.name).join(", ")],
    ],
    commands: ["ovs-vsctl show", `ovs-ofctl -O OpenFlow14 dump-flows ${quoted(bridge.name)}`],
    links: flowLinks(urls, host.name, bridge.name),
  });
}

function hostFacts(inventory: Inventory, host: HostData, urls: Urls): Facts {
  const guests = [...inventory.guests.values()].filter(
    (guest) => guest.host === host.name && guest.kind === "vm",
  );
  return facts("Host", host.name, {
    state: host.reached ? "answers" : "does not answer",
    good: host.reached,
    rows: [
      ["Trouble", host.trouble],
      ["Underlay", `${host.underlay_ip}, mtu ${host.mtu}`],
      ["Guests", [plural(guests.length, "VM"), othersLine(host)].filter(Boolean).join(", ")],
      ["vCPU", host.vcpus ? `${host.vcpus_used} of ${host.vcpus}` : ""],
      ["RAM", host.ram_mib ? `${gib(host.ram_used_mib)} of ${gib(host.ram_mib)} GiB` : ""],
      ["Runs on", host.accelerator.toUpperCase()],
      ["Open vSwitch", host.ovs_version],
      ["Tunnels", tunnelsOf(host).join(", ")],
      ["New VMs", host.enabled ? "" : "none, it is being drained"],
    ],
    commands: ["virsh list --all", "ovs-vsctl show"],
    links: flowLinks(urls, host.name, BRIDGE),
  });
}

export function gib(mib: number): string {
  return (mib / 1024).toLocaleString("en-GB", { maximumFractionDigits: mib < 10240 ? 1 : 0 });
}

function networkFacts(inventory: Inventory, uuid: string, urls: Urls): Facts {
  const network = inventory.networks.get(uuid);
  const guests = [...inventory.guests.values()].filter((guest) =>
    guest.nics.some((nic) => nic.network === uuid),
  );
  return facts("Network", network?.name ?? "", {
    rows: [
      ["Team", network?.team ?? ""],
      ["Subnets", network?.subnets.join(", ") ?? ""],
      ["Gateway", network?.gateways.join(", ") ?? ""],
      ["Carried by", network?.carried_by ?? ""],
      ["MTU", String(network?.mtu ?? "")],
      ["Guests", guests.map((guest) => guest.name).join(", ")],
      ["On hosts", [...new Set(guests.map((guest) => guest.host).filter(Boolean))].sort().join(", ")],
    ],
    commands: network ? [networkCommand(network)] : [],
    links: urls.networks ? [{ title: "Networks of the team", url: urls.networks }] : [],
  });
}

function routerFacts(inventory: Inventory, uuid: string): Facts {
  const router = inventory.routers.get(uuid);
  const names = (router?.networks ?? [])
    .map((one) => inventory.networks.get(one)?.name ?? "")
    .filter(Boolean);
  const rows: [string, string][] = [
    ["Team", router?.team ?? ""],
    ["Networks", names.join(", ")],
    ["Outside", router?.external || "no way out"],
    ["Leaves on", router?.gateway_host ?? ""],
    ["Addresses", router?.addresses.join(", ") ?? ""],
  ];
  return facts("Router", router?.name ?? "", { rows });
}

function meshFacts(inventory: Inventory, hosts: string[]): Facts {
  const ends = hosts.map((name) => inventory.hosts.get(name)?.underlay_ip ?? "");
  const mtu = Math.min(...hosts.map((name) => inventory.hosts.get(name)?.mtu ?? 0));
  const many = hosts.length > 2;
  return facts("Tunnel", many ? `full mesh of ${hosts.length} hosts` : hosts.join(" ↔ "), {
    rows: [
      ["Ends", many ? plural(hosts.length, "host") : ends.join(", ")],
      ["Outer", "udp/4789, +50 B"],
      ["MTU", mtu ? `${mtu} outside, ${mtu - 50} fits inside` : ""],
      ["Traffic", many || inventory.hosts.size > 2 ? "a tunnel port counts for all its peers together" : ""],
    ],
    commands: [
      "ovs-vsctl list Interface vxlan0",
      "ovs-appctl dpctl/show -s",
      "ovs-appctl ofproto/list-tunnels",
    ],
  });
}

function wireFacts(inventory: Inventory): Facts {
  const ends = [...inventory.hosts.values()].map((host) => host.underlay_ip);
  return facts("Underlay", "underlay", {
    rows: [
      ["Joins", ends.length > 6 ? plural(ends.length, "host") : ends.join(", ")],
      ["Known", "only its ends: no LLDP neighbour is known, so what is between them is inferred"],
    ],
    commands: ["ip -d link", "lldpctl"],
  });
}
