/** Path data of the icons that the island draws, by hop kind; 16 px grid, stroked. */
const ICONS: Record<string, string> = {
  guest_nic:
    "M4.2 4.2h7.6v7.6H4.2zM6.5 4.2V2M9.5 4.2V2M6.5 14v-2.2M9.5 14v-2.2M4.2 6.5H2M4.2 9.5H2M14 6.5h-2.2M14 9.5h-2.2",
  backend: "M2 4.5h12v7H2zM5 4.5v7M8 4.5v7M11 4.5v7",
  tap: "M5.5 2v4M10.5 2v4M3.8 6h8.4v2.2a4.2 4.2 0 0 1-8.4 0zM8 12.4V14.5",
  bridge: "M1.5 11.5h13M3.5 11.5V5M12.5 11.5V5M3.5 6c1 3 8 3 9 0M6 8v3.5M8 8.3v3.2M10 8v3.5",
  tunnel: "M2 13V8a6 6 0 0 1 12 0v5M5.2 13V8.3a2.8 2.8 0 0 1 5.6 0V13M1.5 13h13",
  underlay_nic: "M2 3v10M2 4.5h11a1 1 0 0 1 1 1V10a1 1 0 0 1-1 1H2M5 11v2M7.5 11v2M10 11v2M5 6.6h3V9H5z",
  underlay:
    "M2.8 5h10.4a1.3 1.3 0 0 1 1.3 1.3v3.4a1.3 1.3 0 0 1-1.3 1.3H2.8a1.3 1.3 0 0 1-1.3-1.3V6.3A1.3 1.3 0 0 1 2.8 5zM4.3 8h.01M6.8 8h.01M9.3 8h.01M11.8 8h.01",
  shield: "M8 1.8 13 3.6v4c0 3.2-2 5.4-5 6.6-3-1.2-5-3.4-5-6.6v-4z",
  play: "M5 3.2v9.6l7.6-4.8z",
  pause: "M5 3.2v9.6M11 3.2v9.6",
  prev: "M11.5 3.5 6.5 8l5 4.5M4.3 3.5v9",
  next: "m4.5 3.5 5 4.5-5 4.5M11.7 3.5v9",
  copy: "M7 5.5h5A1.5 1.5 0 0 1 13.5 7v5a1.5 1.5 0 0 1-1.5 1.5H7A1.5 1.5 0 0 1 5.5 12V7A1.5 1.5 0 0 1 7 5.5zM10.5 5.5v-1A1.5 1.5 0 0 0 9 3H4a1.5 1.5 0 0 0-1.5 1.5v5A1.5 1.5 0 0 0 4 11h1.5",
  calc: "M3 13.5c2.5 0 2.5-11 5-11M2.5 7.5h5.5M9.5 8.5l4 5M13.5 8.5l-4 5",
  flag: "M3.5 14V2.5h8.5l-1.8 3 1.8 3H3.5",
  probe:
    "M8 14V9M6.5 7.3a1.5 1.5 0 1 1 3 0a1.5 1.5 0 1 1-3 0M4.8 10.5a4.5 4.5 0 1 1 6.4 0M2.8 12.4a7 7 0 0 1-.6-8.6M13.2 12.4a7 7 0 0 0 .6-8.6",
  eye: "M1.5 8S4 3.8 8 3.8 14.5 8 14.5 8 12 12.2 8 12.2 1.5 8 1.5 8zM6.2 8a1.8 1.8 0 1 1 3.6 0a1.8 1.8 0 1 1-3.6 0",
  flows: "M2 3.5h12M2 8h12M2 12.5h12",
};

const BY_KIND: Record<string, string> = {
  linux_bridge: "bridge",
  router: "bridge",
  conntrack: "shield",
  tunnel_encap: "tunnel",
  tunnel_decap: "tunnel",
  ovs_port: "tap",
  veth: "tap",
  patch: "tap",
  external: "underlay",
};

export function iconOf(kind: string): string {
  return ICONS[kind] ?? ICONS[BY_KIND[kind] ?? ""] ?? "";
}
