/** Words on a canvas, cut to their room; what a cut came to is remembered, for measuring is the dear part. */

export interface Style {
  font: string;
  colour: string;
  right?: boolean;
}

const MOST_REMEMBERED = 4000;

export class Writing {
  private cuts = new Map<string, { text: string; width: number }>();

  private font = "";

  constructor(private ctx: CanvasRenderingContext2D) {}

  /** The width of words in a font. */
  measure(text: string, font: string): number {
    this.ctx.font = font;
    this.font = font;
    return this.ctx.measureText(text).width;
  }

  /** After the canvas forgot its state: when it was resized. */
  forget(): void {
    this.font = "";
  }

  /** Writes at a baseline, and gives the width that was written. */
  write(text: string, x: number, y: number, room: number, style: Style): number {
    if (!text || room < 6) return 0;
    const { ctx } = this;
    if (style.font !== this.font) {
      ctx.font = style.font; // the browser parses it each time
      this.font = style.font;
    }
    ctx.fillStyle = style.colour;
    if (style.right) ctx.textAlign = "right";
    const cut = this.cut(text, room, style.font);
    ctx.fillText(cut.text, x, y);
    if (style.right) ctx.textAlign = "left";
    return cut.width;
  }

  private cut(text: string, room: number, font: string): { text: string; width: number } {
    const key = `${font}|${room.toFixed(0)}|${text}`;
    const known = this.cuts.get(key);
    if (known) return known;
    let shown = text;
    let width = this.ctx.measureText(shown).width;
    for (let keep = text.length - 1; width > room && keep > 0; keep--) {
      shown = `${text.slice(0, keep)}…`;
      width = this.ctx.measureText(shown).width;
    }
    if (this.cuts.size >= MOST_REMEMBERED) this.cuts.clear();
    const cut = { text: shown, width };
    this.cuts.set(key, cut);
    return cut;
  }
}
