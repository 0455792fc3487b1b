/** Inventories of any size, the same for the same numbers: for tests and for the bench. */
import type { GuestData, HostData } from "../core/topology/model";

export interface Size {
  hosts: number;
  guestsPerHost: number;
  networks?: number;
}

export function generate({ hosts, guestsPerHost, networks = 3 }: Size): Record<string, unknown> {
  const state: Record<string, unknown> = {};
  for (let at = 0; at < networks; at++) state[`network:n${at}`] = network(at);
  for (let at = 0; at < hosts; at++) {
    const host = hostNamed(hostName(at), at);
    state[`host:${host.name}`] = host;
    for (let number = 0; number < guestsPerHost; number++) {
      const serial = at * guestsPerHost + number;
      state[`vm:g${serial}`] = guestNumber(serial, host.name, serial % networks);
    }
  }
  return state;
}

export function hostName(at: number): string {
  return `hv${String(at + 1).padStart(3, "0")}`;
}

function network(at: number): unknown {
  const subnets = [`10.${20 + at}.0.0/16`];
  return {
    uuid: `n${at}`,
    name: `net-${at}`,
    kind: "vxlan" as const,
    vni: 4097 + at,
    vid: null,
    carried_by: `VXLAN, VNI ${4097 + at}`,
    mtu: 1450,
    subnets,
    gateways: [`10.${20 + at}.0.1`],
  };
}

export function hostNamed(name: string, at: number): HostData {
  const port = (port: string, kind: string, remote = ""): HostData["bridges"][number]["ports"][number] => ({
    name: port,
    kind,
    ofport: 1,
    link: "up",
    mtu: 1600,
    speed_bps: 25e9,
    driver: "",
    peer: "",
    remote_ip: remote,
    error: "",
    tag: null,
    members: [],
    foreign: false,
  });
  const bridge = (
    bridge: string,
    ports: HostData["bridges"][number]["ports"],
  ): HostData["bridges"][number] => ({
    name: bridge,
    datapath: "system",
    fail_mode: "secure",
    controller: "connected",
    foreign: false,
    ports,
  });
  return {
    name,
    underlay_ip: `192.0.${2 + Math.floor(at / 250)}.${(at % 250) + 1}`,
    mtu: 1600,
    vcpus: 64,
    ram_mib: 262144,
    vcpus_used: 18,
    ram_used_mib: 75776,
    accelerator: "kvm",
    ovs_version: "3.1.0",
    enabled: true,
    reached: true,
    trouble: "",
    seen: true,
    bridges: [
      bridge("br-int", [port("vxlan0", "tunnel", "flow")]),
      bridge("br-ex", [port("eth0", "nic"), port("eth1", "nic")]),
    ],
    others: { guests: at % 3, ports: at % 3, bridges: 0 },
  };
}

export function guestNumber(serial: number, host: string, networkAt: number): GuestData {
  const tap = `vnet${serial}`;
  const hex = serial.toString(16).padStart(6, "0");
  const mac = `52:54:00:${hex.slice(0, 2)}:${hex.slice(2, 4)}:${hex.slice(4)}`;
  const address = `10.${20 + networkAt}.${(serial >> 8) & 255}.${serial & 255}`;
  const nic = {
    uuid: `p${serial}`,
    network: `n${networkAt}`,
    mac,
    tap,
    ofport: 10 + serial,
    addresses: [address],
  };
  return {
    kind: "vm",
    name: `vm-${serial}`,
    host,
    state: "running",
    vcpus: 2,
    ram_mib: 512,
    since: serial,
    nics: [nic],
  };
}
