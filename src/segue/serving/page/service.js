// Everything the page asks of the service that it came from.
const JSON_TYPE = { "content-type": "application/json" };
const TOKEN = "segue-token";   // kept until the tab is closed

export const keepToken = (token) => sessionStorage.setItem(TOKEN, token);

async function ask(path, body, method = body === undefined ? "GET" : "POST") {
  const token = sessionStorage.getItem(TOKEN);
  const allowed = token ? { authorization: `Bearer ${token}` } : {};
  const answer = await fetch(path, body === undefined ? { method, headers: allowed } : { method, headers: { ...JSON_TYPE, ...allowed }, body: JSON.stringify(body) });
  const document = await answer.json().catch(() => ({}));
  if (!answer.ok) throw Object.assign(new Error(document.detail || `the service answers ${answer.status}`), { status: answer.status, tried: Boolean(token) });
  return document;
}

export const models = () => ask("/v1/models").then((found) => found.models);
export const map = (model) => ask(`/v1/map?model=${encodeURIComponent(model)}`);
export const similar = (model, track, k) =>
  ask(`/v1/similar?model=${encodeURIComponent(model)}&track=${encodeURIComponent(track)}&k=${k}`).then((found) => found.tracks);
export const next = (model, events, k, discovery) =>
  ask("/v1/next", { model, k, discovery, explain: true, looks: true, events: events.map(({ track, heard }) => ({ track, heard })) });
export const nextIn = (session, model, k, discovery) =>
  ask(`/v1/sessions/${session}/next`, { model, k, discovery, explain: true, looks: true });
// What a listener played, the most recent first; nothing is known of a new one.
export const played = (listener) =>
  ask(`/v1/listeners/${encodeURIComponent(listener)}`).then((found) => found.plays.reverse(), (error) => { if (error.status === 404) return []; throw error; });

// What is heard is told to a live session too, so that it can be trained on; undoing begins another one.
// One of a listener is deleted then, so that it is nothing that they played before.
export class Told {
  constructor(listener) { this.listener = listener; this.session = null; this.count = 0; this.queue = Promise.resolve(); }
  follow(events) {
    this.queue = this.queue.then(async () => {
      if (!this.session || events.length < this.count) {
        if (this.session && this.listener !== null) await ask(`/v1/sessions/${this.session}`, undefined, "DELETE").catch(() => {});
        this.session = null;
        const made = await ask("/v1/sessions", { listener: this.listener, events: events.map(({ track, heard }) => ({ track, heard })) });
        this.session = made.session;
      } else if (events.length > this.count) {
        const fresh = events.slice(this.count).map(({ track, heard }) => ({ track, heard }));
        await ask(`/v1/sessions/${this.session}/events`, { events: fresh });
      }
      this.count = events.length;
    }).catch(() => { this.session = null; });
    return this.queue.then(() => this.session);
  }
}
