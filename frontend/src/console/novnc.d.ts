declare module "@novnc/novnc" {
  export interface RawChannel {
    binaryType: string;
    readonly protocol: string;
    readonly readyState: string;
    send(data: Uint8Array): void;
    close(): void;
    onopen: (() => void) | null;
    onclose: ((event: { code: number; reason: string; wasClean: boolean }) => void) | null;
    onerror: (() => void) | null;
    onmessage: ((event: { data: ArrayBuffer }) => void) | null;
  }
  export default class RFB extends EventTarget {
    constructor(target: HTMLElement, channel: RawChannel, options?: { shared?: boolean });
    viewOnly: boolean;
    scaleViewport: boolean;
    focusOnClick: boolean;
    background: string;
    disconnect(): void;
    focus(): void;
    sendCtrlAltDel(): void;
    sendKey(keysym: number, code: string | null, down?: boolean): void;
  }
}
