// The track space as a night chart: faint points, the session as a path, suggestions as rings.
import { html, useEffect, useRef } from "./preact-htm.js";
import { name } from "./words.js";

const NEAR_PX = 14;
const MOST_ZOOM = 40;

const colour = (element, name) => getComputedStyle(element).getPropertyValue(name).trim();

export function Chart({ points, session, suggestions, lit, onLight, onPlay }) {
  const canvas = useRef(null);
  const view = useRef({ zoom: 1, x: 0, y: 0 });
  const held = useRef(null);
  const shown = useRef({});
  shown.current = { points, session, suggestions, lit, onLight, onPlay };

  const drawing = useRef(0);
  const redraw = () => { cancelAnimationFrame(drawing.current); drawing.current = requestAnimationFrame(() => draw(canvas.current, view.current, shown.current)); };
  useEffect(redraw, [points, session, suggestions, lit]);
  useEffect(() => {
    const watched = new ResizeObserver(redraw);
    watched.observe(canvas.current);
    const night = matchMedia("(prefers-color-scheme: dark)");
    night.addEventListener("change", redraw);
    const element = canvas.current;
    const wheel = (event) => { event.preventDefault(); zoomAt(element, view.current, event.offsetX, event.offsetY, Math.exp(-event.deltaY / 300)); redraw(); };
    element.addEventListener("wheel", wheel, { passive: false });
    document.addEventListener("themed", redraw);
    return () => { watched.disconnect(); night.removeEventListener("change", redraw); element.removeEventListener("wheel", wheel); document.removeEventListener("themed", redraw); };
  }, []);

  const down = (event) => { held.current = { x: event.clientX, y: event.clientY, moved: false }; canvas.current.setPointerCapture(event.pointerId); };
  const move = (event) => {
    const from = held.current;
    if (from) {
      const dx = event.clientX - from.x, dy = event.clientY - from.y;
      if (Math.abs(dx) + Math.abs(dy) > 3) from.moved = true;
      if (from.moved) { view.current.x += dx; view.current.y += dy; from.x = event.clientX; from.y = event.clientY; redraw(); return; }
    }
    const found = under(canvas.current, view.current, shown.current, event);
    canvas.current.classList.toggle("over", Boolean(found));
    if ((found && found.track) !== shown.current.lit) shown.current.onLight(found ? found.track : null);
  };
  const up = (event) => {
    const clicked = held.current && !held.current.moved && under(canvas.current, view.current, shown.current, event);
    held.current = null;
    if (clicked) shown.current.onPlay(clicked);
  };
  const key = (event) => {
    const steps = { ArrowLeft: [40, 0], ArrowRight: [-40, 0], ArrowUp: [0, 40], ArrowDown: [0, -40] }[event.key];
    const size = { "+": 1.3, "=": 1.3, "-": 1 / 1.3 }[event.key];
    if (!steps && !size && event.key !== "0") return;
    event.preventDefault();
    if (steps) { view.current.x += steps[0]; view.current.y += steps[1]; }
    if (size) zoomAt(canvas.current, view.current, canvas.current.clientWidth / 2, canvas.current.clientHeight / 2, size);
    if (event.key === "0") view.current = { zoom: 1, x: 0, y: 0 };
    redraw();
  };
  return html`<section class="chart" aria-label="Map of the track space">
    <canvas ref=${canvas} tabindex="0" role="img" onPointerDown=${down} onPointerMove=${move} onPointerUp=${up} onPointerLeave=${() => onLight(null)} onKeyDown=${key}
      aria-label=${`A map of ${points ? points.x.length.toLocaleString("en") : 0} tracks. The session is a path of ${session.length} tracks; ${suggestions.length} suggestions are rings. Arrows move it, plus and minus zoom, 0 shows all.`}></canvas>
    <div class="zooms"><button aria-label="Zoom in" onClick=${() => { zoomAt(canvas.current, view.current, canvas.current.clientWidth / 2, canvas.current.clientHeight / 2, 1.5); redraw(); }}>+</button>
      <button aria-label="Zoom out" onClick=${() => { zoomAt(canvas.current, view.current, canvas.current.clientWidth / 2, canvas.current.clientHeight / 2, 1 / 1.5); redraw(); }}>−</button>
      <button aria-label="Show the whole map" onClick=${() => { view.current = { zoom: 1, x: 0, y: 0 }; redraw(); }}>○</button></div>
  </section>`;
}

function place(canvas, view, point) {
  const width = canvas.clientWidth, height = canvas.clientHeight;
  const size = (Math.min(width, height) / 2 - 24) * view.zoom;   // a place of -1 or 1 stands clear of the edge
  return [width / 2 + view.x + size * point.x * Math.max(width / height, 1), height / 2 + view.y - size * point.y];
}

function zoomAt(canvas, view, x, y, by) {
  const zoom = Math.min(Math.max(view.zoom * by, .6), MOST_ZOOM), ratio = zoom / view.zoom;
  const dx = x - canvas.clientWidth / 2, dy = y - canvas.clientHeight / 2;
  view.x = dx - (dx - view.x) * ratio; view.y = dy - (dy - view.y) * ratio; view.zoom = zoom;
}

function under(canvas, view, shown, event) {
  const box = canvas.getBoundingClientRect(), x = event.clientX - box.left, y = event.clientY - box.top;
  let best = null, least = NEAR_PX;
  for (const track of shown.suggestions) {
    if (!track.look) continue;
    const [px, py] = place(canvas, view, track.look), far = Math.hypot(px - x, py - y);
    if (far < least) { best = track; least = far; }
  }
  return best;
}

function draw(canvas, view, { points, session, suggestions, lit }) {
  if (!canvas || !canvas.clientWidth) return;
  const scale = devicePixelRatio || 1, width = canvas.clientWidth, height = canvas.clientHeight;
  if (canvas.width !== Math.round(width * scale) || canvas.height !== Math.round(height * scale)) { canvas.width = Math.round(width * scale); canvas.height = Math.round(height * scale); }
  const ink = canvas.getContext("2d");
  const text = colour(canvas, "--text"), accent = colour(canvas, "--accent"), faint = colour(canvas, "--star"), soft = colour(canvas, "--soft");
  ink.setTransform(scale, 0, 0, scale, 0, 0);
  ink.clearRect(0, 0, width, height);
  if (points) {
    const most = Math.log1p(Math.max(...points.plays, 1));
    ink.fillStyle = faint;
    for (let i = 0; i < points.x.length; i += 1) {
      const [x, y] = place(canvas, view, { x: points.x[i], y: points.y[i] });
      if (x < -4 || y < -4 || x > width + 4 || y > height + 4) continue;
      const share = Math.log1p(points.plays[i]) / most;
      ink.globalAlpha = .16 + .5 * share;
      const size = (.7 + 1.3 * share) * Math.min(Math.sqrt(view.zoom), 2.4);
      ink.beginPath(); ink.arc(x, y, size, 0, 7); ink.fill();
    }
  }
  ink.globalAlpha = 1;
  const path = session.filter((track) => track.look);
  const spots = path.map((track) => place(canvas, view, track.look));
  for (let i = 1; i < spots.length; i += 1) {
    ink.globalAlpha = .25 + .65 * i / spots.length;
    ink.strokeStyle = text; ink.lineWidth = 1.4;
    const [ax, ay] = spots[i - 1], [bx, by] = spots[i];
    ink.beginPath(); ink.moveTo(ax, ay); ink.quadraticCurveTo((ax + bx) / 2 + (by - ay) * .12, (ay + by) / 2 - (bx - ax) * .12, bx, by); ink.stroke();
  }
  path.forEach((track, i) => {
    const [x, y] = spots[i];
    ink.globalAlpha = .4 + .6 * (i + 1) / path.length;
    if (track.heard === "skip" || track.heard === "brief") {
      ink.strokeStyle = soft; ink.lineWidth = 1.8;
      ink.beginPath(); ink.moveTo(x - 4, y - 4); ink.lineTo(x + 4, y + 4); ink.moveTo(x + 4, y - 4); ink.lineTo(x - 4, y + 4); ink.stroke();
    } else { ink.fillStyle = text; ink.beginPath(); ink.arc(x, y, track.playing ? 6 : 3.6, 0, 7); ink.fill(); }
    if (track.playing) { ink.strokeStyle = text; ink.lineWidth = 1; ink.globalAlpha = .5; ink.beginPath(); ink.arc(x, y, 11, 0, 7); ink.stroke(); }
  });
  ink.globalAlpha = 1;
  const best = Math.max(...suggestions.map((track) => (track.why ? track.why.log_p : 0)), -99);
  for (const track of suggestions) {
    if (!track.look) continue;
    const [x, y] = place(canvas, view, track.look), size = 4 + 8 * Math.sqrt(Math.exp((track.why ? track.why.log_p : 0) - best));
    const is = track.track === lit, fresh = track.seen === false;
    ink.strokeStyle = is || fresh ? accent : soft; ink.lineWidth = is ? 2.6 : 1.4;
    ink.beginPath(); ink.arc(x, y, size + (is ? 3 : 0), 0, 7); ink.stroke();
    if (is) {
      ink.font = "13px " + getComputedStyle(canvas).fontFamily; ink.fillStyle = text; ink.textBaseline = "middle";
      const told = name(track).slice(0, 40), wide = ink.measureText(told).width;
      ink.fillText(told, Math.min(Math.max(x + size + 9, 6), width - wide - 8), Math.min(Math.max(y, 12), height - 12));
    }
  }
}
