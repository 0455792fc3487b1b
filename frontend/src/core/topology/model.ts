/** The map's inventory as its live topic tells it: object → data, kept in maps by kind. */
import { namespaceGuest } from "./spaces";

export interface NicData {
  uuid: string;
  network: string;
  mac: string;
  tap: string;
  ofport: number;
  addresses: string[];
  floating?: string[];
  /** Of its tap, as the switch tells it. */
  link?: string;
}

export interface GuestData {
  kind: string;
  name: string;
  host: string;
  state: string;
  vcpus: number;
  ram_mib: number;
  team?: string;
  since: number;
  nics: NicData[];
  /** Of a network namespace: what it was made of. */
  space?: NamespaceData;
}

/** `port` is the host's end of its cable, or itself where it is an internal port; `port_bridge` the Linux bridge of that end. */
export interface NamespaceInterface {
  name: string;
  kind: string;
  mac: string;
  addresses: string[];
  state: string;
  mtu: number;
  bridge: string;
  port: string;
  port_bridge: string;
}

/** `taps`: the ports of br-int that are drawn with it. */
export interface NamespaceData {
  host: string;
  name: string;
  process: string;
  interfaces: NamespaceInterface[];
  taps: string[];
}

export interface PortData {
  name: string;
  kind: string;
  ofport: number;
  link: string;
  mtu: number;
  speed_bps: number;
  driver: string;
  peer: string;
  remote_ip: string;
  error: string;
  tag: number | null;
  members: string[];
  foreign: boolean;
}

export interface BridgeData {
  name: string;
  datapath: string;
  fail_mode: string;
  controller: string;
  foreign: boolean;
  ports: PortData[];
}

/** Who is at the other end of a NIC's cable, in its own words. */
export interface NeighbourData {
  nic: string;
  protocol: string;
  system: string;
  chassis: string;
  port: string;
  description: string;
  vlan: number;
  vlans: number[];
  addresses: string[];
}

export interface HostData {
  name: string;
  underlay_ip: string;
  mtu: number;
  vcpus: number;
  ram_mib: number;
  vcpus_used: number;
  ram_used_mib: number;
  accelerator: string;
  ovs_version: string;
  enabled: boolean;
  reached: boolean;
  trouble: string;
  seen: boolean;
  bridges: BridgeData[];
  others: { guests: number; ports: number; bridges: number };
  /** Of its lldpd: answers, absent, unread; "" where it is not told. */
  lldp?: string;
  lldp_problem?: string;
  neighbours?: NeighbourData[];
  /** Of its namespaces: read, unread; "" where it is not told. */
  netns?: string;
  netns_problem?: string;
}

export interface NetworkData {
  uuid: string;
  name: string;
  kind: "vxlan" | "geneve" | "vlan" | "flat";
  vni: number;
  vid: number | null;
  /** How, in words: "VXLAN, VNI 4097", "VLAN 200 on br-ex". */
  carried_by: string;
  mtu: number;
  team?: string;
  subnets: string[];
  gateways: string[];
}

interface RouterData {
  name: string;
  networks: string[];
  external: string;
  gateway_host?: string;
  team?: string;
  addresses: string[];
}

interface ForeignData {
  name: string;
  uuid: string;
  host: string;
  state: string;
  taps: string[];
}

/** Port → [rx packets, tx packets, rx bits, tx bits, lost], each per second; "" is the sum of ports without a name. */
interface TrafficData {
  at: number;
  ports: Record<string, number[]>;
}

export interface Inventory {
  hosts: Map<string, HostData>;
  /** By object: `vm:…`, `access:…`, foreign domains as `foreign:…`, network namespaces as `namespace:…`. */
  guests: Map<string, GuestData>;
  networks: Map<string, NetworkData>;
  routers: Map<string, RouterData>;
  traffic: Map<string, TrafficData>;
  /** `host|tap` → the guest that is plugged by it. */
  taps: Map<string, string>;
}

export function emptyInventory(): Inventory {
  return {
    hosts: new Map(),
    guests: new Map(),
    networks: new Map(),
    routers: new Map(),
    traffic: new Map(),
    taps: new Map(),
  };
}

export function inventoryOf(state: Record<string, unknown>): Inventory {
  const inventory = emptyInventory();
  for (const [object, data] of Object.entries(state)) put(inventory, object, data);
  return inventory;
}

/** Takes an object over, or away when `data` is null; tells whether the picture's shape may differ now. */
export function put(inventory: Inventory, object: string, data: unknown): boolean {
  const [kind, name] = split(object);
  switch (kind) {
    case "host":
      return replace(inventory.hosts, name, data as HostData | null, hostShape);
    case "vm":
    case "access":
      return putGuest(inventory, object, data as GuestData | null);
    case "foreign":
      return putGuest(inventory, object, data ? foreignGuest(data as ForeignData) : null);
    case "namespace":
      return putGuest(inventory, object, data ? namespaceGuest(data as NamespaceData) : null);
    case "network":
      return replace(inventory.networks, name, data as NetworkData | null, () => "");
    case "router":
      return replace(
        inventory.routers,
        name,
        data as RouterData | null,
        (router) => `${router.networks.join()}|${router.external}`,
      );
    case "traffic":
      if (data) inventory.traffic.set(name, data as TrafficData);
      else inventory.traffic.delete(name);
      return false;
    default:
      return false;
  }
}

function putGuest(inventory: Inventory, id: string, guest: GuestData | null): boolean {
  const before = inventory.guests.get(id);
  for (const nic of before?.nics ?? []) {
    const key = `${before?.host}|${nic.tap}`;
    if (inventory.taps.get(key) === id) inventory.taps.delete(key);
  }
  for (const nic of guest?.nics ?? []) if (nic.tap) inventory.taps.set(`${guest?.host}|${nic.tap}`, id);
  return replace(inventory.guests, id, guest, guestShape);
}

export function split(object: string): [kind: string, name: string] {
  const at = object.indexOf(":");
  return [object.slice(0, at), object.slice(at + 1)];
}

function replace<T>(into: Map<string, T>, key: string, data: T | null, shape: (value: T) => string): boolean {
  const before = into.get(key);
  if (data === null) return into.delete(key);
  into.set(key, data);
  return before === undefined || shape(before) !== shape(data);
}

/** What of a guest the layout looks at: where it is and by what it is plugged; its name and state only change words. */
function guestShape(guest: GuestData): string {
  const cables = (guest.space?.interfaces ?? []).map((one) => one.port).join();
  return `${guest.host}|${guest.nics.map((nic) => `${nic.uuid} ${nic.tap} ${nic.network}`).join()}|${cables}`;
}

function hostShape(host: HostData): string {
  const bridges = host.bridges.map((one) => [
    one.name,
    ...one.ports.map((port) => `${port.name} ${port.kind}`),
  ]);
  return `${JSON.stringify(bridges)}${host.others.guests + host.others.ports > 0}`;
}

function foreignGuest(data: ForeignData): GuestData {
  const nics = data.taps.map((tap) => ({
    uuid: `${data.uuid}/${tap}`,
    network: "",
    mac: "",
    tap,
    ofport: 0,
    addresses: [],
  }));
  const words = { kind: "foreign", vcpus: 0, ram_mib: 0, since: Number.MAX_SAFE_INTEGER };
  return { ...words, name: data.name, host: data.host, state: data.state, nics };
}

/** Rate of one port: both ways together in bits a second, packets, and what is lost. Old readings are no readings. */
export interface Rate {
  bps: number;
  pps: number;
  lost: number;
}

export const SILENT: Rate = { bps: 0, pps: 0, lost: 0 };
export const STALE_S = 5;

export function rateOf(inventory: Inventory, host: string, port: string, nowS: number): Rate {
  const traffic = inventory.traffic.get(host);
  if (!traffic || nowS - traffic.at > STALE_S) return SILENT;
  const numbers = traffic.ports[port];
  if (!numbers) return SILENT;
  const [rx = 0, tx = 0, rxBps = 0, txBps = 0, lost = 0] = numbers;
  return { bps: rxBps + txBps, pps: rx + tx, lost };
}

export function sumOf(rates: Iterable<Rate>): Rate {
  let [bps, pps, lost] = [0, 0, 0];
  for (const rate of rates) {
    bps += rate.bps;
    pps += rate.pps;
    lost += rate.lost;
  }
  return { bps, pps, lost };
}

/** `hv9` before `hv10`. */
export function naturally(a: string, b: string): number {
  return COLLATOR.compare(a, b) || (a < b ? -1 : a > b ? 1 : 0);
}

const COLLATOR = new Intl.Collator("en", { numeric: true });
