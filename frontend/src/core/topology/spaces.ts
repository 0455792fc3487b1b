/** Network namespaces on the map: each stands among its host's guests, with a cable to what it is plugged into. */
import type { GuestData, NamespaceData } from "./model";

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

/** Is it drawn? One that nothing of the host leads into stands in the table alone: a host may have hundreds. */
export function isDrawn(guest: GuestData): boolean {
  return guest.space === undefined || guest.space.interfaces.some((one) => one.port);
}

/** The ports of the host that its cables end at, beside those that are drawn as its taps. */
export function cablesOf(guest: GuestData): string[] {
  const { space } = guest;
  if (!space) return [];
  return space.interfaces.map((one) => one.port).filter((port) => port && !space.taps.includes(port));
}
