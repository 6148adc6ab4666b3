// What comes next: rows that move to their new places, and say why they stand there.
import { html, useEffect, useRef, useState } from "./preact-htm.js";
import { Sleeve } from "./sleeve.js";
import { by, name, percent, reason } from "./words.js";

const LEAVE_MS = 420;

// Rows that have just left stay for a moment, so that they can fade.
function useLeaving(tracks) {
  const [leaving, setLeaving] = useState([]);
  const before = useRef([]);
  useEffect(() => {
    const here = new Set(tracks.map((track) => track.track));
    const gone = before.current.filter((track) => !here.has(track.track));
    before.current = tracks;
    if (!gone.length) { setLeaving([]); return undefined; }
    setLeaving(gone);
    const timer = setTimeout(() => setLeaving([]), LEAVE_MS);
    return () => clearTimeout(timer);
  }, [tracks]);
  return leaving;
}

function Mark({ track }) {
  const before = track.before;
  if (!before) return html`<span class="mark moved" aria-label="new">new</span>`;
  const moved = before - track.rank;
  if (moved === 0) return html`<span class="mark" aria-label="stayed">–</span>`;
  const told = moved > 0 ? `rose by ${moved}` : `fell by ${-moved}`;
  return html`<span class="mark moved" aria-label=${told}>${moved > 0 ? "▲" : "▼"}${Math.abs(moved) > 99 ? "99+" : Math.abs(moved)}</span>`;
}

function Bar({ log, most, what, kind }) {
  const share = Math.exp(log);
  const width = Math.max(Math.min(Math.sqrt(share / most), 1), .01);
  return html`<span class=${`bar ${kind}`} role="img" aria-label=${`${what} ${percent(log)}`} title=${`${what}: ${percent(log)}`}>
    <i style=${{ transform: `scaleX(${width})` }}></i></span>`;
}

export function Ranked({ title, hint, answer, session, lit, onLight, onPlay, changed }) {
  const tracks = answer ? answer.tracks : [];
  const leaving = useLeaving(tracks);
  const rows = [...tracks, ...leaving.map((track) => ({ ...track, gone: true }))].sort((a, b) => (a.track < b.track ? -1 : 1));
  const most = Math.max(...tracks.map((track) => Math.exp(track.why.log_p)), 1e-9);
  const said = tracks.find((track) => track.track === lit);
  return html`<section class="ranked" aria-label=${`What comes next, by ${title}`}>
    <header><h2>${title}</h2>${changed !== null && html`<${Meter} changed=${changed} />`}</header>
    <ol class="rows" aria-live="polite" data-count=${tracks.length}>
      ${rows.map((track) => html`<li key=${track.track} class=${`row ${track.gone ? "gone" : ""} ${lit === track.track ? "lit" : ""}`}
          data-track=${track.track} style=${{ "--place": track.rank - 1 }}>
        <button onClick=${() => !track.gone && onPlay(track)} onMouseEnter=${() => onLight(track.track)} onFocus=${() => onLight(track.track)}
            onMouseLeave=${() => onLight(null)} aria-label=${`${track.rank}. ${name(track)}${by(track) ? ` by ${by(track)}` : ""}. Play it now.`}>
          <span class="rank">${track.rank}</span>
          <${Sleeve} numbers=${track.look && track.look.sleeve} />
          <span class="told"><b>${name(track)}</b><small>${by(track)}</small></span>
          <span class="bars"><${Bar} log=${track.why.log_p} most=${most} what="fits" kind="fits" />
            ${track.why.log_listen !== null && html`<${Bar} log=${track.why.log_listen} most=${1} what="heard out" kind="heard" />`}</span>
          <${Mark} track=${track} />
        </button></li>`)}
    </ol>
    <p class="why" role="status">${said ? html`<b>${percent(said.why.log_p)}</b> fits${said.why.log_listen !== null ? html`, <b>${percent(said.why.log_listen)}</b> heard out` : ""}. ${reason(said, session)}`
      : answer && hint ? "Point at a track to hear why it stands there." : ""}</p>
  </section>`;
}

function Meter({ changed }) {
  return html`<span class="meter" title="how many of the ten are other tracks than before the last action">
    <span class="dots" aria-hidden="true">${Array.from({ length: 10 }, (_, i) => html`<i class=${i < changed ? "on" : ""}></i>`)}</span>
    <span>${changed}<span class="words"> of 10 changed</span></span></span>`;
}
