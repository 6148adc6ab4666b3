// A sleeve is drawn from the direction of a track's row: the same track always looks the same, similar tracks alike.
import { html } from "./preact-htm.js";

const wave = (value) => Math.tanh(value / 1.4);          // about -1..1
const TURN = 180 / Math.PI;

export function Sleeve({ numbers, cut, label }) {
  if (!numbers) {
    return html`<svg class="sleeve" viewBox="0 0 100 100" role="img" aria-label=${label || "unknown track"}>
      <rect width="100" height="100" fill="var(--raised)" />
      <circle cx="50" cy="50" r="26" fill="none" stroke="var(--faint)" stroke-width="1.5" stroke-dasharray="3 5" /></svg>`;
  }
  const n = numbers.map(wave);
  const hue = (Math.atan2(numbers[0], numbers[1]) * TURN + 360) % 360;
  const second = (hue + 40 + 60 * n[2]) % 360;
  const light = 38 + 14 * n[3];
  const ground = `hsl(${hue.toFixed(0)} ${(34 + 16 * n[4]).toFixed(0)}% ${light.toFixed(0)}%)`;
  const shape = `hsl(${second.toFixed(0)} ${(48 + 20 * n[5]).toFixed(0)}% ${(light + 26).toFixed(0)}%)`;
  const ink = `hsl(${hue.toFixed(0)} 30% ${(light - 24).toFixed(0)}%)`;
  const turn = (90 * n[6]).toFixed(1);
  const rings = 2 + Math.round(2 + 2 * n[7]);
  const cx = 50 + 22 * n[8], cy = 50 + 22 * n[9];
  const reach = 26 + 12 * n[10];
  const bars = Array.from({ length: rings }, (_, i) => {
    const y = 100 * (i + 1) / (rings + 1), bend = 26 * n[11] * (i % 2 ? 1 : -1);
    return html`<path d=${`M-10 ${y.toFixed(1)} Q50 ${(y + bend).toFixed(1)} 110 ${y.toFixed(1)}`} fill="none" stroke=${ink}
      stroke-width=${(2 + 4 * Math.abs(n[(i + 3) % 12])).toFixed(1)} opacity=".75" />`;
  });
  return html`<svg class="sleeve" viewBox="0 0 100 100" role="img" aria-label=${label || ""} aria-hidden=${!label}>
    <rect width="100" height="100" fill=${ground} />
    <g transform=${`rotate(${turn} 50 50)`}>${bars}</g>
    <circle cx=${cx.toFixed(1)} cy=${cy.toFixed(1)} r=${reach.toFixed(1)} fill=${shape} opacity=".92" />
    <circle cx=${cx.toFixed(1)} cy=${cy.toFixed(1)} r=${(reach * (.34 + .16 * n[0])).toFixed(1)} fill=${ground} />
    ${cut !== undefined && html`<rect x=${100 * cut} width=${100 * (1 - cut)} height="100" fill="var(--ground)" opacity=".82" />
      <line x1=${100 * cut} x2=${100 * cut} y1="-4" y2="104" stroke="var(--text)" stroke-width="3" />`}
  </svg>`;
}
