// The listening room: a session plays, and what comes next moves with every action.
import { html, render, useCallback, useEffect, useMemo, useRef, useState } from "./preact-htm.js";
import { Chart } from "./map.js";
import { Ranked } from "./list.js";
import { Sleeve } from "./sleeve.js";
import * as service from "./service.js";
import { HEARD, by, called, name } from "./words.js";

const TEN = 10;
const OPENING = [["listened", 0], ["listened", 1], ["skip", 3], ["listened", 0]];     // how the first session went, and which suggestion it took
const CUT = { listened: 1, mostly: .85, brief: .4, skip: .08, unknown: 1 };           // where a thread's sleeve is cut
const PLAY_S = 24;                                                                   // a simulated track lasts so long
const ACTIONS = [
  { key: " ", shown: "space", heard: "listened", label: "Play through" },
  { key: "s", shown: "s", heard: "skip", label: "Skip now" },
  { key: "d", shown: "d", heard: "brief", label: "Skip later" },
  { key: "l", shown: "l", heard: "listened", label: "More like this", similar: true },
];

const PAST = { "Play through": "Played through", "Skip now": "Skipped at once", "Skip later": "Skipped later", "More like this": "More like" };

// What is shown of an answer: what plays now is no suggestion, and each rank is beside the one that was seen before.
function shown(answer, playing, before) {
  const seen = new Map(before ? before.tracks.map((track) => [track.track, track.rank]) : []);
  const tracks = answer.tracks.filter((track) => !playing || track.track !== playing.track).slice(0, TEN);
  const changed = before ? tracks.length - same(before.tracks, tracks) : null;
  return { ...answer, changed, tracks: tracks.map((track, i) => ({ ...track, rank: i + 1, before: before ? seen.get(track.track) || track.why.rank_before : i + 1, seen: seen.has(track.track) || !before })) };
}
const kept = (track, heard) => ({ track: track.track, title: track.title, artist: track.artist, look: track.look, heard });
const same = (a, b) => b.filter((track) => a.some((other) => other.track === track.track)).length;

// What each chosen model answers after these events. `seen` holds what is on the screen: what the next list is compared with.
// The service ranks for a listener in their session, which has to know the events first.
function useRanked(chosen, events, told, discovery) {
  const [answers, setAnswers] = useState({});
  const [fault, setFault] = useState(null);
  const asked = useRef(0), last = useRef({}), seen = useRef({});
  const again = useCallback(async () => {
    const turn = asked.current += 1;
    try {
      const session = told.listener === null ? null : await told.follow(events);
      if (told.listener !== null && session === null) throw new Error("the session of this listener could not be kept");
      const found = await Promise.all(chosen.map((model) => (session === null ? service.next(model, events, TEN + 1, discovery) : service.nextIn(session, model, TEN + 1, discovery))));
      if (turn !== asked.current) return;
      setFault(null);
      for (let i = 0; i < chosen.length; i += 1) {
        const held = last.current[chosen[i]];
        if (!held || held.events !== events || held.discovery !== discovery) last.current[chosen[i]] = { events, discovery, answer: found[i], before: held ? seen.current[chosen[i]] : null };
      }
      setAnswers(Object.fromEntries(chosen.map((model) => [model, last.current[model]])));
    } catch (error) { if (turn === asked.current) setFault(error.message || "the service does not answer"); }
  }, [chosen, events, told, discovery]);
  useEffect(() => { if (chosen.length) again(); }, [again]);
  return { answers, seen, fault, again };
}

function Room({ models }) {
  const [model, setModel] = useState(models[0].name);
  const [beside, setBeside] = useState(false);
  const [events, setEvents] = useState([]);
  const [playing, setPlaying] = useState(null);
  const [done, setDone] = useState(null);
  const [past, setPast] = useState([]);
  const [lit, setLit] = useState(null);
  const [points, setPoints] = useState(null);
  const [ready, setReady] = useState(false);
  const [listener, setListener] = useState(null);
  const [discovery, setDiscovery] = useState(.5);
  const told = useMemo(() => new service.Told(listener), [listener]);
  const columns = useMemo(() => (beside ? [model, ...models.map((each) => each.name).filter((each) => each !== model)].slice(0, 3) : [model]), [beside, model]);
  const waiting = useRef(false);   // an action was taken, and what plays next is not known yet
  const { answers, seen, fault, again } = useRanked(ready ? columns : [], events, told, discovery);
  const views = useMemo(() => Object.fromEntries(Object.entries(answers).map(([each, { answer, before }]) => [each, shown(answer, playing, before)])), [answers, playing]);
  useEffect(() => { if (!waiting.current) for (const [each, view] of Object.entries(views)) seen.current[each] = view; }, [views]);
  const first = views[model];

  useEffect(() => { service.map(models[0].name).then(setPoints).catch(() => setPoints(null)); }, []);   // one map, whichever model ranks
  useEffect(() => { opened(models[0].name).then(({ heard, now }) => { setEvents(heard); setPlaying(now); }).catch(() => {}).finally(() => setReady(true)); }, []);
  useEffect(() => { if (ready && listener === null) told.follow(events); }, [events, ready, told]);
  // what plays next is the first suggestion that comes after the action
  useEffect(() => {
    const held = answers[model];
    if (waiting.current && held && held.events === events && held.answer.tracks.length) { waiting.current = false; setPlaying(kept(held.answer.tracks[0], null)); }
  }, [answers]);

  // A listener begins a session of their own, with what is next for them.
  const listen = (id) => { waiting.current = true; setListener(id); setEvents([]); setPlaying(null); setPast([]); setDone(null); };
  const remember = () => setPast((before) => [...before.slice(-49), { events, playing, done }]);
  const act = useCallback(async (action) => {
    if (!playing) return;
    remember();
    setDone({ label: PAST[action.label], track: playing });
    const heard = [...events, { ...playing, heard: action.heard }];
    if (action.similar) {
      const near = await service.similar(model, playing.track, TEN).catch(() => []);
      const next = near.find((track) => !heard.some((each) => each.track === track.track));
      if (next) { setPlaying(kept(next, null)); setEvents(heard); return; }
    }
    waiting.current = true;
    setEvents(heard);
  }, [playing, events, model, done]);
  const play = useCallback((track) => {
    remember();
    if (playing && playing.track !== track.track) setDone({ label: `Played “${name(track)}” instead of`, track: playing });
    setPlaying(kept(track, null));
  }, [playing, events, done]);
  const branch = (index) => {
    remember();
    setDone({ label: "Returned to", track: events[index] });
    setPlaying({ ...events[index], heard: null });
    setEvents(events.slice(0, index));
  };
  const undo = useCallback(() => {
    if (!past.length) return;
    const before = past[past.length - 1];
    waiting.current = false;
    setPast(past.slice(0, -1));
    setEvents(before.events); setPlaying(before.playing); setDone(before.done);
  }, [past]);

  useEffect(() => {
    const pressed = (event) => {
      if (event.ctrlKey || event.metaKey || event.altKey || event.target.closest && event.target.closest(".listener")) return;
      if (event.key === "u") { event.preventDefault(); undo(); return; }
      if (event.key === "b" && models.length > 1) { setBeside((before) => !before); return; }
      const number = Number(event.key);
      if (number >= 1 && number <= models.length && event.target === document.body) { setModel(models[number - 1].name); return; }
      const action = ACTIONS.find((each) => each.key === event.key);
      const button = event.target.closest && event.target.closest("button, a, canvas");
      if (action && !(event.key === " " && button)) { event.preventDefault(); act(action); }
    };
    document.addEventListener("keydown", pressed);
    return () => document.removeEventListener("keydown", pressed);
  }, [act, undo]);

  const session = [...events, ...(playing ? [{ ...playing, playing: true }] : [])];
  const simulated = first ? first.simulated : models[0].simulated;
  return html`<main class=${`room ${beside ? "beside" : ""} ${fault ? "silent" : ""}`}>
    <header class="top"><h1><a href="/" aria-label="Segue, begin again">Segue</a></h1>
      ${simulated && html`<p class="honest" title="The log that these models learnt from was made by a simulator: names and tastes are made up.">simulated log, made-up names</p>`}
      <${Listener} listener=${listener} onListen=${listen} discovery=${discovery} onDiscovery=${setDiscovery} />
      <${Models} models=${models} model=${model} onModel=${setModel} beside=${beside} onBeside=${() => setBeside(!beside)} />
      <${Theme} /></header>
    <${Playing} track=${playing} done=${done} onAct=${act} />
    <${Chart} points=${points} session=${session} suggestions=${first ? first.tracks : []} lit=${lit} onLight=${setLit} onPlay=${play} />
    <div class="columns">
      ${columns.map((each) => html`<${Ranked} key=${each} title=${beside ? called(each) : "What comes next"} hint=${each === model} answer=${views[each]} session=${events} lit=${lit} onLight=${setLit}
        onPlay=${play} changed=${views[each] ? views[each].changed : null} />`)}
      ${beside && html`<${Lines} columns=${columns} answers=${views} lit=${lit} />`}
    </div>
    ${fault && html`<p class="fault" role="alert"><b>The service is silent.</b> ${fault} <button onClick=${again}>Ask again</button></p>`}
    <${Thread} events=${events} playing=${playing} onBranch=${branch} onUndo=${undo} canUndo=${past.length > 0} unknown=${first ? first.unknown : []} />
  </main>`;
}

// A first session, so that the screen is never empty.
async function opened(model) {
  const heard = [];
  for (const [word, place] of OPENING) {
    const { tracks } = await service.next(model, heard, TEN);
    if (!tracks.length) break;
    heard.push(kept(tracks[Math.min(place, tracks.length - 1)], word));
  }
  const { tracks } = await service.next(model, heard, TEN);
  return { heard, now: tracks.length ? kept(tracks[0], null) : null };
}

function Playing({ track, done, onAct }) {
  const ring = useRef(null);
  useEffect(() => {
    let frame, begun = performance.now();
    const turn = (now) => {
      const share = Math.min((now - begun) / 1000 / PLAY_S, 1);
      if (ring.current) ring.current.style.strokeDashoffset = String(1 - share);
      if (share < 1) frame = requestAnimationFrame(turn);
    };
    if (track) frame = requestAnimationFrame(turn);
    return () => cancelAnimationFrame(frame);
  }, [track && track.track]);
  return html`<section class="playing" aria-label="Now playing">
    <div class="disc">${track ? html`<${Sleeve} key=${track.track} numbers=${track.look && track.look.sleeve} label=${`Sleeve of ${name(track)}`} />` : html`<${Sleeve} />`}
      <svg class="ring" viewBox="0 0 100 100" aria-hidden="true"><circle cx="50" cy="50" r="48" /><circle ref=${ring} class="gone" cx="50" cy="50" r="48" pathLength="1" /></svg></div>
    <div class="label"><h2>${track ? name(track) : "Nothing plays"}</h2><p>${track ? by(track) : "Choose a track from what comes next."}</p></div>
    <div class="actions" role="group" aria-label="What you do">
      ${ACTIONS.map((action) => html`<button key=${action.label} class=${action.heard === "listened" ? "kind" : "hard"} disabled=${!track} onClick=${() => onAct(action)}>
        <span>${action.label}</span><kbd>${action.shown}</kbd></button>`)}
    </div>
    <p class="done" role="status">${done ? html`${done.label} <b>${name(done.track)}</b>` : "\u00a0"}</p>
  </section>`;
}

function Models({ models, model, onModel, beside, onBeside }) {
  if (models.length < 2) return html`<p class="only">${called(model)}</p>`;
  return html`<div class="models"><div class="segments" role="radiogroup" aria-label="Model">
    ${models.map((each) => html`<button key=${each.name} role="radio" aria-checked=${each.name === model} onClick=${() => onModel(each.name)}
      title=${each.reads_feedback ? "reads how each track was heard" : "reads tracks alone: what you skip does not change its list"}>${called(each.name)}</button>`)}</div>
    <button class="switch" aria-pressed=${beside} onClick=${onBeside}>Side by side <kbd>b</kbd></button></div>`;
}

// Who listens, what they played, and how adventurous the list is.
function Listener({ listener, onListen, discovery, onDiscovery }) {
  const [plays, setPlays] = useState([]);
  const [fault, setFault] = useState(null);
  const chosen = async (event) => {
    event.preventDefault();
    const id = event.target.elements.listener.value;
    try { setPlays(await service.played(id)); setFault(null); onListen(id); } catch (error) { setFault(error.message); }
  };
  const leave = () => { setPlays([]); onListen(null); };
  return html`<details class="listener"><summary>${listener === null ? "Who listens?" : html`<b>${listener}</b> listens`}</summary><div class="panel">
    ${listener === null
      ? html`<form onSubmit=${chosen}><label>Listener<input name="listener" required maxlength="256" autocomplete="off" /></label><button>Listen</button></form>`
      : html`<p>${plays.length ? "Played before, the last one first:" : "Nothing was played before."}</p>
        <ol>${plays.slice(0, TEN).map((play, i) => html`<li key=${i}><b>${name(play)}</b> ${by(play)}, ${HEARD[play.heard]}</li>`)}</ol>
        <button onClick=${leave}>Listen as nobody</button>`}
    ${fault && html`<p role="alert">${fault}</p>`}
    <label class="adventure">How adventurous the list is<input type="range" min="0" max="1" step="0.05" value=${discovery} onInput=${(event) => onDiscovery(Number(event.target.value))} />
      <span><i>played before</i><i>new</i></span></label>
  </div></details>`;
}

function Theme() {
  const [theme, setTheme] = useState(null);
  const turn = () => {
    const dark = (document.documentElement.dataset.theme || (matchMedia("(prefers-color-scheme: light)").matches ? "light" : "dark")) === "dark";
    document.documentElement.dataset.theme = dark ? "light" : "dark";
    setTheme(document.documentElement.dataset.theme);
    document.dispatchEvent(new Event("themed"));
  };
  return html`<button class="theme" onClick=${turn} aria-label=${`Take the ${theme === "light" ? "dark" : "light"} theme, or the other`}><svg viewBox="0 0 20 20" aria-hidden="true"><path d="M10 2a8 8 0 1 0 0 16z" fill="currentColor"/><circle cx="10" cy="10" r="8" fill="none" stroke="currentColor" stroke-width="1.5"/></svg></button>`;
}

function Thread({ events, playing, onBranch, onUndo, canUndo, unknown }) {
  const end = useRef(null);
  useEffect(() => { if (end.current) end.current.scrollIntoView({ inline: "end", block: "nearest" }); }, [events.length]);
  return html`<nav class="thread" aria-label="The session so far"><ol>
    ${events.map((track, i) => html`<li key=${`${i} ${track.track}`}><button onClick=${() => onBranch(i)} title=${`${name(track)}: ${HEARD[track.heard]}. Return here.`}
      aria-label=${`${i + 1}. ${name(track)}, ${HEARD[track.heard]}${unknown.includes(track.track) ? ", not known to this model" : ""}. Return here.`}>
      <${Sleeve} numbers=${track.look && track.look.sleeve} cut=${CUT[track.heard] < 1 ? CUT[track.heard] : undefined} /></button></li>`)}
    ${playing && html`<li class="here" key="here" ref=${end}><${Sleeve} numbers=${playing.look && playing.look.sleeve} /></li>`}
    </ol><button class="undo" disabled=${!canUndo} onClick=${onUndo}>Undo <kbd>u</kbd></button></nav>`;
}

// Lines that join the same track across columns.
function Lines({ columns, answers, lit }) {
  const drawn = [];
  for (let c = 1; c < columns.length; c += 1) {
    const left = answers[columns[c - 1]], right = answers[columns[c]];
    if (!left || !right) continue;
    for (const track of left.tracks) {
      const other = right.tracks.find((each) => each.track === track.track);
      if (other) drawn.push({ id: `${c} ${track.track}`, c, from: track.rank, to: other.rank, on: lit === track.track });
    }
  }
  return html`<svg class="lines" viewBox=${`0 0 ${columns.length * 100} 100`} preserveAspectRatio="none" aria-hidden="true">
    ${drawn.map((line) => html`<path key=${line.id} class=${line.on ? "on" : ""} vector-effect="non-scaling-stroke"
      d=${`M${line.c * 100 - 3} ${line.from * 10 - 5} C${line.c * 100} ${line.from * 10 - 5} ${line.c * 100} ${line.to * 10 - 5} ${line.c * 100 + 3} ${line.to * 10 - 5}`} />`)}</svg>`;
}

// A service that others can reach has a token; whoever opens the page gives it once.
function Door({ wrong, onEnter }) {
  const enter = (event) => { event.preventDefault(); onEnter(event.target.elements.token.value.trim()); };
  return html`<div class="closed"><h1>Segue</h1><p role="status">${wrong ? "That is not the token of this service." : "This room is kept closed. Whoever started the service knows its token."}</p>
    <form onSubmit=${enter}><label>Token<input name="token" type="password" autocomplete="current-password" required autofocus /></label><button>Open</button></form></div>`;
}

const root = document.getElementById("room");
async function open() {
  let shown;
  try { const models = await service.models(); shown = html`<${Room} models=${models} />`; } catch (error) {
    shown = error.status === 401
      ? html`<${Door} wrong=${error.tried} onEnter=${(token) => { service.keepToken(token); open(); }} />`
      : html`<div class="closed"><h1>Segue</h1><p role="alert">The service does not answer. ${error.message}</p><button onClick=${() => location.reload()}>Try again</button></div>`;
  }
  root.textContent = "";
  render(null, root);
  render(shown, root);
}
open();
