"use strict";
// The tracks, and which of them are chosen. Every chart and the table read it, and `update` redraws them.

const data = JSON.parse(document.getElementById("data").textContent);
const tracks = data.tracks;
const total = tracks.path.length;
const find = (id) => document.getElementById(id);

// Titles fall back to names of files. Search looks in all text of a track.
const titles = tracks.title.map((title, i) => title || tracks.path[i].split(/[\\/]/).pop());
const keyNames = [...data.tonics, ...data.tonics.map((tonic) => tonic + "m")];
const keyName = (i) => (tracks.key[i] < 0 ? "" : keyNames[tracks.key[i]]);
const keyWords = (key) => `${data.tonics[key % 12]} ${key < 12 ? "major" : "minor"}`;
const moodNames = (i) => tracks.moods[i].map((mood) => data.moods[mood]);
let texts = null; // made at the first search
const textOf = (i) => [
  titles[i], tracks.artist[i], tracks.album[i], tracks.path[i], moodNames(i).join(" "), keyName(i),
  tracks.key[i] < 0 ? "" : keyWords(tracks.key[i]),
].join("\n").toLowerCase();

// A facet is a way to choose tracks: bit `index` of `fails[i]` says that track i does not match it. Facets of a chart
// hold the chosen bars in `picked`; nothing chosen is no filter.
const fails = new Uint32Array(total);
const facets = [];
function addFacet(facet) {
  facets.push(Object.assign(facet, { index: facets.length, picked: facet.picked ?? new Set() }));
  return facet;
}
function refilter(facet) {
  const bit = 1 << facet.index;
  const active = facet.active ? facet.active() : facet.picked.size > 0;
  for (let i = 0; i < total; i++) {
    if (active && !facet.matches(i)) fails[i] |= bit;
    else fails[i] &= ~bit;
  }
}
const isShown = (i) => fails[i] === 0;
const isShownBut = (i, facet) => (fails[i] & ~(1 << facet.index)) === 0; // by all other facets

const search = addFacet({
  words: [],
  active: () => search.words.length > 0,
  matches: (i) => search.words.every((word) => texts[i].includes(word)),
  chips: () => [], // the field itself shows it
  clear: () => { find("search").value = ""; search.words = []; },
});
function searchFor(text) {
  search.words = text.toLowerCase().split(/\s+/).filter(Boolean);
  if (search.words.length && !texts) texts = Array.from({ length: total }, (_, i) => textOf(i));
  refilter(search);
  update();
}

const lasso = addFacet({
  polygon: null, // corners [valence, arousal]
  active: () => lasso.polygon !== null,
  matches: (i) => inside(lasso.polygon, tracks.valence[i], tracks.arousal[i]),
  chips: () => (lasso.polygon ? [{ label: "Lasso", drop: () => lasso.clear() }] : []),
  clear: () => { lasso.polygon = null; },
});
function inside(polygon, x, y) {
  let odd = false;
  for (let a = 0, b = polygon.length - 1; a < polygon.length; b = a++) {
    const [xa, ya] = polygon[a], [xb, yb] = polygon[b];
    if (ya > y !== yb > y && x < ((xb - xa) * (y - ya)) / (yb - ya) + xa) odd = !odd;
  }
  return odd;
}

// The order of the table and of the playlist.
const order = { column: "path", down: false };
const compareText = new Intl.Collator(undefined, { numeric: true, sensitivity: "base" }).compare;
const ranks = {}; // place of every track by a text; made once, since comparing 20,000 titles takes long
function rank(column, text) {
  if (!ranks[column]) {
    const sorted = Array.from({ length: total }, (_, i) => i).sort((a, b) => compareText(text(a), text(b)) || a - b);
    ranks[column] = new Uint32Array(total);
    sorted.forEach((track, place) => { ranks[column][track] = text(track) === "" ? total : place; });
  }
  return ranks[column];
}
const valuesOf = (column) => {
  const number = data.numbers.find(({ name }) => name === column);
  if (number) return number.values;
  if (column === "valence" || column === "arousal") return tracks[column];
  const text = { title: (i) => titles[i], path: (i) => tracks.path[i], key: keyName, moods: (i) => moodNames(i).join() };
  return rank(column, text[column]);
};

let shown = []; // the chosen tracks, in the order of the table
let focus = -1; // the track that was clicked
function reorder() {
  const values = valuesOf(order.column), sign = order.down ? -1 : 1;
  const unknown = (value) => value === null || (order.column in ranks && value === total);
  shown = [];
  for (let i = 0; i < total; i++) if (isShown(i)) shown.push(i);
  shown.sort((a, b) => {
    const [x, y] = [values[a], values[b]];
    if (unknown(x) || unknown(y)) return unknown(x) - unknown(y) || a - b; // unknown ones are last both ways
    return sign * (x - y) || a - b;
  });
}

const listeners = [];
const onUpdate = (draw) => listeners.push(draw);
function update() {
  reorder();
  for (const draw of listeners) draw();
}
const focusListeners = [];
function setFocus(track) {
  focus = track;
  for (const draw of focusListeners) draw();
}
function clearAll() {
  for (const facet of facets) {
    if (facet.clear) facet.clear();
    facet.picked.clear();
    refilter(facet);
  }
  update();
}

// --- help for all parts of the page ---

function element(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
    else if (value !== undefined) made.setAttribute(name, value);
  }
  made.append(...children); // strings become text, never markup
  return made;
}
const many = (count, noun) => `${count.toLocaleString("en")} ${noun}${count === 1 ? "" : "s"}`;
const sortedKnown = (values) => Float64Array.from(values.filter((value) => value !== null)).sort();
const percent = (part, whole) => (whole ? (100 * part) / whole : 0);
const clock = (seconds) => {
  const [h, m, s] = [Math.floor(seconds / 3600), Math.floor(seconds / 60) % 60, Math.floor(seconds % 60)];
  return `${h ? `${h}:${String(m).padStart(2, "0")}` : m}:${String(s).padStart(2, "0")}`;
};
const span = (seconds) => {
  const minutes = Math.round(seconds / 60), [days, hours] = [Math.floor(minutes / 1440), Math.floor(minutes / 60)];
  if (days) return `${days} d ${hours % 24} h`;
  return hours ? `${hours} h ${minutes % 60} min` : `${minutes} min`;
};
const css = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
const font = "system-ui, -apple-system, 'Segoe UI', Roboto, sans-serif";
function inFrame(draw) { // at most once per frame
  let waiting = false;
  return () => {
    if (waiting) return;
    waiting = true;
    requestAnimationFrame(() => { waiting = false; draw(); });
  };
}
// What hovering shows of a track or a bar: elements, so that text stays text.
function tip(head, ...lines) {
  return element("div", { class: "tip" }, element("b", {}, head), ...lines.map((line) => element("div", {}, line)));
}
function tooltip() {
  return {
    backgroundColor: css("--raised"), borderColor: css("--line"), padding: [8, 12], confine: true, transitionDuration: 0,
    textStyle: { color: css("--ink"), fontSize: 13, fontFamily: font }, extraCssText: "max-width:320px;white-space:normal",
  };
}
