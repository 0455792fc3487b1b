/** Words on a canvas, cut to their room; what a cut came to is remembered, for measuring is the dear part. */
import { cut } from "../../core/topology/cutting";

interface Style {
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
    const shown = this.fitting(text, room, style.font);
    ctx.fillText(shown.text, x, y);
    if (style.right) ctx.textAlign = "left";
    return shown.width;
  }

  private fitting(text: string, room: number, font: string): { text: string; width: number } {
    const key = `${font}|${room.toFixed(0)}|${text}`;
    const known = this.cuts.get(key);
    if (known) return known;
    const shown = cut(text, room, (words) => this.ctx.measureText(words).width);
    if (this.cuts.size >= MOST_REMEMBERED) this.cuts.clear();
    const fitting = { text: shown, width: this.ctx.measureText(shown).width };
    this.cuts.set(key, fitting);
    return fitting;
  }
}
