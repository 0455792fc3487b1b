/** The words of boxes and of the selection: a title, a line, facts, the commands that tell the same, and where to go. */
import { gettext, gettext_noop, ngettext } from "../gettext";
import { grouped } from "../numbers";
import { BRIDGE } from "./cards";
import { dropsUrl, flowLinks, guestLinks, type Link, packetLinks, pageLinks, type Urls } from "./links";
import { type Thing, thingOf, tunnelsOf } from "./lookup";
import { type GuestData, type HostData, type Inventory, type NetworkData, split } from "./model";
import { leadsInto, namespaceCommand, namespaceRows, namespacesWords } from "./namespaces";
import {
  atNic,
  carriesUnderlay,
  lldpWords,
  nearWords,
  neighbourRows,
  nicRows,
  underlayKnown,
  underlayLine,
} from "./neighbours";
import type { Box } from "./scene";
import { NAMESPACE } from "./spaces";

export interface Label {
  /** Nothing passes it now: its link is down. */
  down?: boolean;
  title: string;
  /** Said below the title where there is room. */
  line: string;
  mono: boolean;
  foreign: boolean;
}

export function labelOf(inventory: Inventory, box: Box): Label {
  const known = inventory.guests.get(box.id);
  if (known) return guestLabel(known);
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
      return guestLabel(thing.guest);
    case "tap":
      return {
        ...label(thing.port, portLine(thing), thing.guest !== null, thing.data?.foreign ?? false),
        down: (thing.data?.link || thing.guest?.[2].link) === "down",
      };
    case "taps":
      return label(ngettext("%(count)s tap", "%(count)s taps", box.ports.length));
    case "bridge":
      return label(thing.bridge.name, bridgeLine(thing.bridge), false, thing.bridge.foreign);
    case "others":
      return label(othersLine(thing.host));
    case "nic":
      return label(
        gettext("underlay NIC"),
        nearWords(carriesUnderlay(thing.host)) ||
          gettext("%(address)s, not on a bridge", { address: thing.host.underlay_ip }),
      );
    case "more":
      return label(gettext("%(count)s more", { count: box.ports.length }));
    case "network":
      return networkLabel(inventory, thing.uuid);
    case "router": {
      const router = inventory.routers.get(thing.uuid);
      return label(router?.name ?? "", router?.addresses.join(", ") ?? "", true);
    }
    case "wire":
      return label(gettext("underlay"), underlayLine(inventory));
    default:
      return label("");
  }
}

function guestLabel(guest: GuestData): Label {
  const down = guest.nics.some((nic) => nic.link === "down");
  return { title: guest.name, line: addressOf(guest), mono: true, foreign: isForeign(guest), down };
}

/** Is it there, and none of what anybody asked Hopsight for? */
function isForeign(guest: GuestData): boolean {
  return guest.kind === "foreign" || guest.kind === NAMESPACE;
}

function addressOf(guest: GuestData): string {
  for (const nic of guest.nics) if (nic.addresses[0]) return nic.addresses[0];
  return "";
}

function othersLine(host: HostData): string {
  const { guests, ports, bridges } = host.others;
  const parts = [
    guests > 0 && ngettext("%(count)s other VM", "%(count)s other VMs", guests),
    ports > 0 && ngettext("%(count)s other port", "%(count)s other ports", ports),
    bridges > 0 && ngettext("%(count)s other bridge", "%(count)s other bridges", bridges),
  ];
  return parts.filter(Boolean).join(", ");
}

export function hostsWords(count: number): string {
  return ngettext("%(count)s host", "%(count)s hosts", count);
}

function networkLabel(inventory: Inventory, uuid: string): Label {
  const network = inventory.networks.get(uuid);
  if (!network) return { title: "", line: "", mono: false, foreign: false };
  const line = [...network.subnets, network.carried_by, `mtu ${network.mtu}`].join(", ");
  return { title: network.name, line, mono: true, foreign: false };
}

function bridgeLine(bridge: Extract<Thing, { kind: "bridge" }>["bridge"]): string {
  if (bridge.name !== BRIDGE) return ngettext("%(count)s port", "%(count)s ports", bridge.ports.length);
  return controllerWords(bridge.controller);
}

const CONTROLLERS: Record<string, string> = {
  connected: gettext_noop("controller connected"),
  away: gettext_noop("controller away"),
  none: gettext_noop("no controller"),
};

function controllerWords(state: string): string {
  return gettext(CONTROLLERS[state] ?? state);
}

function portLine(thing: Extract<Thing, { kind: "tap" }>): string {
  const { data, guest } = thing;
  if (guest?.[2].link === "down") return gettext("link %(state)s", { state: guest[2].link });
  if (guest) return guest[2].ofport ? gettext("port %(number)s", { number: guest[2].ofport }) : "";
  if (!data) return "";
  if (data.kind === "tunnel") return data.remote_ip === "flow" ? gettext("to any host") : data.remote_ip;
  const near = nearWords(atNic(thing.host, data));
  if (near) return near;
  const speed = data.speed_bps
    ? `${data.speed_bps / 1e9 >= 1 ? `${data.speed_bps / 1e9}G` : `${data.speed_bps / 1e6}M`}`
    : "";
  return [speed, data.mtu ? `mtu ${data.mtu}` : data.kind].filter(Boolean).join(", ");
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

export function factsOf(inventory: Inventory, id: string, urls: Urls): Facts | null {
  const thing = thingOf(inventory, id);
  if (!thing) return null;
  switch (thing.kind) {
    case "guest":
      if (thing.guest.kind === NAMESPACE) return namespaceFacts(thing.guest);
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
      return facts(gettext("Hosts"), thing.name.split("#")[0] ?? "");
    default:
      return hostFacts(inventory, thing.host, urls);
  }
}

function facts(kind: string, title: string, more: Partial<Facts> = {}): Facts {
  const rows = (more.rows ?? []).filter(([, value]) => value !== "");
  return { kind, title, state: "", good: true, commands: [], links: [], ports: [], drops: "", ...more, rows };
}

const GUEST_KINDS: Record<string, string> = {
  vm: gettext_noop("Virtual machine"),
  access: gettext_noop("Access port: this machine's own seat in the network"),
  foreign: gettext_noop("Foreign VM: on the host, and in no team"),
};

function namespaceFacts(guest: GuestData): Facts {
  return facts(gettext("Network namespace"), guest.name, {
    state: guest.state === "running" ? gettext("up") : gettext("down"),
    good: guest.state === "running",
    rows: [
      [gettext("Host"), guest.host],
      [gettext("Process"), guest.space?.process ?? ""],
      ...namespaceRows(guest),
    ],
    commands: namespaceCommand(guest),
  });
}

function guestFacts(inventory: Inventory, id: string, guest: GuestData, urls: Urls): Facts {
  const nics = guest.nics.flatMap((nic): [string, string][] => [
    [gettext("Network"), networkWords(inventory, nic.network)],
    [gettext("Address"), nic.addresses.join(", ")],
    [gettext("Floating"), (nic.floating ?? []).join(", ")],
    ["MAC", nic.mac],
    [gettext("Tap"), tapWords(nic.tap, nic.ofport, nic.link ?? "")],
  ]);
  const size = guest.vcpus ? `${guest.vcpus} vCPU, ${guest.ram_mib} ${gettext("MiB")}` : "";
  const uuid = id.slice(id.indexOf(":") + 1);
  const domain = guest.kind === "foreign" ? guest.name : `hs-${uuid}`;
  const commands =
    guest.kind === "access" ? [] : [`virsh dominfo ${quoted(domain)}`, `virsh domiflist ${quoted(domain)}`];
  return facts(gettext(GUEST_KINDS[guest.kind] ?? guest.kind), guest.name, {
    state: stateWords(guest.state),
    good: guest.state === "running",
    rows: [
      [gettext("Team"), guest.team ?? ""],
      [gettext("Host"), guest.host || gettext("not placed yet")],
      [gettext("Size"), size],
      ...nics,
    ],
    commands: [...commands, ...guest.nics.filter((nic) => nic.tap).map((nic) => interfaceCommand(nic.tap))],
    links: guestLinks(urls, uuid, guest),
    ports: guest.kind === "vm" ? guest.nics.map((nic) => nic.uuid).filter(Boolean) : [],
    drops: guest.kind === "vm" ? dropsUrl(urls, id) : "",
  });
}

function tapWords(tap: string, ofport: number | null | undefined, link: string): string {
  if (!tap) return gettext("not plugged");
  const where = ofport
    ? gettext("%(tap)s, port %(number)s of %(bridge)s", { tap, number: ofport, bridge: BRIDGE })
    : tap;
  return link === "down" ? `${where}, ${gettext("link %(state)s", { state: link })}` : where;
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
  tunnel: gettext_noop("Tunnel"),
  patch: gettext_noop("Patch cable"),
  veth: gettext_noop("Virtual cable (veth)"),
  nic: "NIC",
  bond: gettext_noop("Bond"),
  internal: gettext_noop("Internal port"),
  tap: gettext_noop("Tap"),
  "vhost-user": gettext_noop("vhost-user port"),
};

function portFacts(inventory: Inventory, thing: Extract<Thing, { kind: "tap" }>, urls: Urls): Facts {
  const { host, port, guest, data } = thing;
  const bridge = host.bridges.find((one) => one.ports.some((other) => other.name === port))?.name ?? BRIDGE;
  const remote =
    data?.remote_ip === "flow" ? gettext("any host, chosen by the flow (tun_dst)") : (data?.remote_ip ?? "");
  const rows: [string, string][] = [
    [gettext("Host"), host.name],
    [gettext("Bridge"), bridge],
    [gettext("Port"), String(data?.ofport || guest?.[2].ofport || "")],
    [gettext("Guest"), guest ? guest[1].name : ""],
    [gettext("Network"), guest ? networkWords(inventory, guest[2].network) : ""],
    ["MAC", guest ? guest[2].mac : ""],
    [gettext("Far end"), data?.peer || remote || leadsInto(inventory, host.name, port)],
    [gettext("Near end"), data?.kind === "tunnel" ? host.underlay_ip : ""],
    [gettext("Members"), data?.members.join(", ") ?? ""],
    ["VLAN", data?.tag === null || data?.tag === undefined ? "" : String(data.tag)],
    ["MTU", data?.mtu ? String(data.mtu) : ""],
    [gettext("Driver"), data?.driver ?? ""],
    [gettext("Trouble"), data?.error ?? ""],
    ...(data ? nicRows(host, data) : []),
  ];
  const link = data?.link || guest?.[2].link || "";
  const own = gettext(guest ? "Tap" : (PORT_KINDS[data?.kind ?? ""] ?? "Port"));
  const kind = data?.foreign ? gettext("Foreign port, %(kind)s", { kind: own }) : own;
  return facts(kind, port, {
    state: link ? gettext("link %(state)s", { state: link }) : "",
    good: link !== "down",
    rows,
    commands: [interfaceCommand(port), "ovs-appctl dpctl/show -s"],
    links: [
      ...packetLinks(urls, host.name, bridge, port, guest?.[2]),
      ...(guest?.[1].kind === "vm" ? pageLinks(urls.vm, "{uuid}", split(guest[0])[1], guest[1].name) : []),
      ...flowLinks(urls, host.name, bridge),
    ],
    ports: guest && guest[1].kind === "vm" && guest[2].uuid ? [guest[2].uuid] : [],
    drops: guest && guest[1].kind === "vm" ? dropsUrl(urls, guest[0]) : "",
  });
}

function bridgeFacts(thing: Extract<Thing, { kind: "bridge" }>, urls: Urls): Facts {
  const { host, bridge } = thing;
  return facts(bridge.foreign ? gettext("Foreign bridge") : gettext("Bridge"), bridge.name, {
    state: bridge.name === BRIDGE ? controllerWords(bridge.controller) : "",
    good: bridge.controller !== "away",
    rows: [
      [gettext("Host"), host.name],
      [gettext("Datapath"), bridge.datapath === "netdev" ? "netdev (userspace)" : bridge.datapath],
      [gettext("Fail mode"), bridge.fail_mode || "standalone"],
      [gettext("Ports"), bridge.ports.map((port) => port.name).join(", ")],
    ],
    commands: ["ovs-vsctl show", `ovs-ofctl -O OpenFlow14 dump-flows ${quoted(bridge.name)}`],
    links: flowLinks(urls, host.name, bridge.name),
  });
}

function hostFacts(inventory: Inventory, host: HostData, urls: Urls): Facts {
  const guests = [...inventory.guests.values()].filter(
    (guest) => guest.host === host.name && guest.kind === "vm",
  );
  return facts(gettext("Host"), host.name, {
    state: host.reached ? gettext("answers") : gettext("does not answer"),
    good: host.reached,
    rows: [
      [gettext("Trouble"), host.trouble],
      [gettext("Underlay"), `${host.underlay_ip}, mtu ${host.mtu}`],
      [
        gettext("Guests"),
        [ngettext("%(count)s VM", "%(count)s VMs", guests.length), othersLine(host)]
          .filter(Boolean)
          .join(", "),
      ],
      ["vCPU", host.vcpus ? gettext("%(used)s of %(all)s", { used: host.vcpus_used, all: host.vcpus }) : ""],
      [
        "RAM",
        host.ram_mib
          ? gettext("%(used)s of %(all)s GiB", { used: gib(host.ram_used_mib), all: gib(host.ram_mib) })
          : "",
      ],
      [gettext("Runs on"), host.accelerator.toUpperCase()],
      ["Open vSwitch", host.ovs_version],
      [gettext("Tunnels"), tunnelsOf(host).join(", ")],
      ...neighbourRows(host.neighbours ?? [], true),
      ["LLDP", lldpWords(host)],
      [gettext("Namespaces"), namespacesWords(inventory, host)],
      [gettext("New VMs"), host.enabled ? "" : gettext("none, it is being drained")],
    ],
    commands: ["virsh list --all", "ovs-vsctl show"],
    links: [...pageLinks(urls.host, "HOST", host.name, host.name), ...flowLinks(urls, host.name, BRIDGE)],
  });
}

function gib(mib: number): string {
  return grouped(mib / 1024, mib < 10240 ? 1 : 0);
}

function networkFacts(inventory: Inventory, uuid: string, urls: Urls): Facts {
  const network = inventory.networks.get(uuid);
  const guests = [...inventory.guests.values()].filter((guest) =>
    guest.nics.some((nic) => nic.network === uuid),
  );
  return facts(gettext("Network"), network?.name ?? "", {
    rows: [
      [gettext("Team"), network?.team ?? ""],
      [gettext("Subnets"), network?.subnets.join(", ") ?? ""],
      [gettext("Gateway"), network?.gateways.join(", ") ?? ""],
      [gettext("Carried by"), network?.carried_by ?? ""],
      ["MTU", String(network?.mtu ?? "")],
      [gettext("Guests"), guests.map((guest) => guest.name).join(", ")],
      [
        gettext("On hosts"),
        [...new Set(guests.map((guest) => guest.host).filter(Boolean))].sort().join(", "),
      ],
    ],
    commands: network ? [networkCommand(network)] : [],
    links: urls.networks ? [{ title: gettext("Networks of the team"), url: urls.networks }] : [],
  });
}

function routerFacts(inventory: Inventory, uuid: string): Facts {
  const router = inventory.routers.get(uuid);
  const names = (router?.networks ?? [])
    .map((one) => inventory.networks.get(one)?.name ?? "")
    .filter(Boolean);
  const rows: [string, string][] = [
    [gettext("Team"), router?.team ?? ""],
    [gettext("Networks"), names.join(", ")],
    [gettext("Outside"), router?.external || gettext("no way out")],
    [gettext("Leaves on"), router?.gateway_host ?? ""],
    [gettext("Addresses"), router?.addresses.join(", ") ?? ""],
  ];
  return facts(gettext("Router"), router?.name ?? "", { rows });
}

function meshFacts(inventory: Inventory, hosts: string[]): Facts {
  const ends = hosts.map((name) => inventory.hosts.get(name)?.underlay_ip ?? "");
  const mtu = Math.min(...hosts.map((name) => inventory.hosts.get(name)?.mtu ?? 0));
  const many = hosts.length > 2;
  return facts(
    gettext("Tunnel"),
    many ? gettext("full mesh of %(hosts)s", { hosts: hostsWords(hosts.length) }) : hosts.join(" ↔ "),
    {
      rows: [
        [gettext("Ends"), many ? hostsWords(hosts.length) : ends.join(", ")],
        [gettext("Outer"), "udp/4789, +50 B"],
        [
          "MTU",
          mtu
            ? gettext("%(outside)s outside, %(inside)s fits inside", { outside: mtu, inside: mtu - 50 })
            : "",
        ],
        [
          gettext("Traffic"),
          many || inventory.hosts.size > 2 ? gettext("a tunnel port counts for all its peers together") : "",
        ],
      ],
      commands: [
        "ovs-vsctl list Interface vxlan0",
        "ovs-appctl dpctl/show -s",
        "ovs-appctl ofproto/list-tunnels",
      ],
    },
  );
}

const MOST_ROWS = 60;

function wireFacts(inventory: Inventory): Facts {
  const ends = [...inventory.hosts.values()].map((host) => host.underlay_ip);
  return facts(gettext("Underlay"), gettext("underlay"), {
    rows: [
      [gettext("Joins"), ends.length > 6 ? hostsWords(ends.length) : ends.join(", ")],
      [gettext("Known"), underlayKnown(inventory)],
      ...[...inventory.hosts.values()].flatMap((host) =>
        neighbourRows(host.neighbours ?? [], true).map(([, words]): [string, string] => [host.name, words]),
      ),
    ].slice(0, MOST_ROWS) as [string, string][],
    commands: ["ip -d link", "lldpctl"],
  });
}

/** As the server tells them of a VM. */
const STATES = [
  gettext_noop("creating"),
  gettext_noop("running"),
  gettext_noop("paused"),
  gettext_noop("stopped"),
  gettext_noop("crashed"),
  gettext_noop("deleting"),
  gettext_noop("deleted"),
  gettext_noop("unknown"),
];

export function stateWords(state: string): string {
  return STATES.includes(state) ? gettext(state) : state;
}
