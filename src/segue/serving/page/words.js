// What a person reads: names, chances, reasons.
export const HEARD = { listened: "heard to its end", mostly: "heard for the most part", brief: "skipped later", skip: "skipped at once", unknown: "told without a word" };
// The simulator marks every name it makes up; the room says so once, at its top.
const bare = (text) => text.replace(/ \(simulated\)$/, "");
// Models of the paper are called as it calls them.
const MODELS = { "s-minus": "S\u2212", "s-plus-track": "S+ track", "s-plus-session": "S+ session" };
export const called = (model) => MODELS[model.replace(/^paper-(causal|cloze)-/, "")] || model;
export const name = (track) => bare(track.title || track.track);
export const by = (track) => bare(track.artist || "");
export const percent = (log) => {
  const share = 100 * Math.exp(log);
  return share >= 10 ? `${share.toFixed(0)} %` : share >= 1 ? `${share.toFixed(1)} %` : share >= .01 ? `${share.toFixed(2)} %` : "< .01 %";
};

export function reason(track, session) {
  const why = track.why;
  if (!why) return "";
  const parts = [];
  const titled = (id) => { const found = session.find((each) => each.track === id); return found ? `“${name(found)}”` : "a track of the session"; };
  const near = why.near.filter((each) => each.cosine >= .25);
  const liked = near.filter((each) => each.heard === "listened" || each.heard === "mostly");
  const left = near.filter((each) => each.heard === "skip" || each.heard === "brief");
  if (liked.length) parts.push(`near ${liked.map((each) => titled(each.track)).join(" and ")}, which you heard`);
  if (left.length) parts.push(`${liked.length ? "but also near" : "near"} ${left.map((each) => titled(each.track)).join(" and ")}, which you skipped`);
  if (track.played) parts.push("it was played before");
  if (why.followed) parts.push(`it followed the last track ${why.followed === 1 ? "once" : `${why.followed.toLocaleString("en")} times`} in the log`);
  if (!parts.length) parts.push("near nothing you have heard: it fits the session as a whole");
  const text = parts.join("; ");
  return text[0].toUpperCase() + text.slice(1) + ".";
}
