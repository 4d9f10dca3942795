// The valence-arousal plane: a numbered label for every track, and the path over time of the chosen one.
import { clock, make } from "./dom.js";
import { MANY, spread, tintStyle, TYPICAL, washes } from "./scale.js";

export const WORDS = { Q1: "happy, energetic", Q2: "tense, angry", Q3: "sad", Q4: "calm" };
export const POLES = { valence: ["unpleasant", "pleasant"], arousal: ["calm", "energetic"] };
const MOVED = 1; // percent; a label this far from its point is joined to it by a line

// Such as "Q2 tense, angry" and "between Q3 sad and Q4 calm".
export function quadrantWords({ quadrant, between }) {
  const named = between?.map((name) => `${name} ${WORDS[name].split(",")[0]}`);
  return named ? `between ${named.join(" and ")}` : `${quadrant} ${WORDS[quadrant]}`;
}

export const values = ({ valence, arousal }) => `valence ${valence.toFixed(1)}, arousal ${arousal.toFixed(1)}`;

// tracks: [{name, record}], with a record each; shown: the index of the chosen one.
export function plane(tracks, shown, zoom) {
  const spots = tracks.map(({ record }) => [zoom.share(record.valence), zoom.share(record.arousal)]);
  const labels = spread(spots);
  const said = tracks.map(({ name, record }, i) => `${i + 1}, ${name}: ${values(record)}, ${quadrantWords(record)}`);
  const ground = make("div", { class: "m2e-ground", "aria-hidden": true }, wash(zoom), typical(zoom));
  const points = tracks.map((track, i) => point(track, i, i === shown, labels[i]));
  const now = make("span", { class: "m2e-now", hidden: "" });
  const chosen = [...interval(tracks[shown].record, zoom), ...path(tracks[shown].record, zoom)];
  const parts = [ground, grid(zoom), ...quadrants(), ...chosen, leaders(spots, labels)];
  const area = make("div", { class: "m2e-area" }, ...parts, ...points, now, ...ticks(zoom));
  const note = `scale 1–9, shown ${zoom.low}–${zoom.high}; frame: the usual range of songs`;
  return make(
    "div",
    { class: "m2e-plane", role: "group", "aria-label": `Valence-arousal plane: ${said.join("; ")}` },
    area,
    ...Object.entries(POLES).map(axis),
    make("p", { class: "m2e-note" }, note),
  );
}

const place = (x, y) => ({ left: `${x}%`, bottom: `${y}%` });

const wash = (zoom) => make("span", { class: "m2e-wash" }, ...washes(zoom).map((style) => make("i", { style })));

function typical(zoom) {
  const [[left, right], [bottom, top]] = [TYPICAL.valence, TYPICAL.arousal].map((ends) => ends.map(zoom.share));
  const style = { ...place(left, bottom), width: `${right - left}%`, height: `${top - bottom}%` };
  return make("span", { class: "m2e-typical", style });
}

function grid(zoom) {
  const lines = zoom.ticks.flatMap((tick) => {
    const [at, kind] = [zoom.share(tick), tick === 5 ? "m2e-middle" : ""];
    return [
      make("line", { class: kind, x1: `${at}%`, x2: `${at}%`, y2: "100%" }),
      make("line", { class: kind, y1: `${100 - at}%`, y2: `${100 - at}%`, x2: "100%" }),
    ];
  });
  return make("svg", { class: "m2e-grid", "aria-hidden": true }, ...lines);
}

const quadrants = () =>
  Object.entries(WORDS).map(([name, words]) =>
    make("span", { class: `m2e-quadrant m2e-${name.toLowerCase()}` }, make("b", {}, words), ` ${name}`),
  );

const ticks = (zoom) =>
  zoom.ticks.flatMap((tick) => [
    make("span", { class: "m2e-tick-x", style: { left: `${zoom.share(tick)}%` } }, tick),
    make("span", { class: "m2e-tick-y", style: { bottom: `${zoom.share(tick)}%` } }, tick),
  ]);

const axis = ([name, [low, high]]) =>
  make("span", { class: `m2e-axis m2e-axis-${name}` }, make("i", {}, low), make("b", {}, name), make("i", {}, high));

function point({ name, record }, index, shown, [x, y]) {
  const label = `${index + 1} ${name}: ${values(record)}, ${quadrantWords(record)}`;
  const style = { ...place(x, y), ...tintStyle(record) };
  const kind = shown ? "m2e-point m2e-shown" : "m2e-point";
  const button = { type: "button", class: kind, "data-show": index, "aria-pressed": shown, "aria-label": label, style };
  return make("button", button, index + 1, tip(name, values(record), x, y));
}

function tip(title, text, x, y) {
  const kind = `m2e-tip ${x > 50 ? "m2e-left" : "m2e-right"} ${y > 50 ? "m2e-below" : "m2e-above"}`;
  return make("span", { class: kind, "aria-hidden": true }, make("b", {}, title), make("br"), text);
}

// A dot at the place of every label that was moved, and the line to it.
function leaders(spots, labels) {
  const lines = spots.flatMap(([x, y], i) => {
    const [a, b] = labels[i];
    if (Math.hypot(x - a, y - b) <= MOVED) return [];
    const ends = { x1: `${x}%`, y1: `${100 - y}%`, x2: `${a}%`, y2: `${100 - b}%` };
    return [make("line", ends), make("circle", { cx: `${x}%`, cy: `${100 - y}%`, r: 3 })];
  });
  return make("svg", { class: "m2e-leaders", "aria-hidden": true }, ...lines);
}

// An ellipse as wide and high as the intervals of a track, where the model knows them.
function interval({ valence_interval: x, arousal_interval: y }, zoom) {
  if (!x || !y) return [];
  const [[left, right], [bottom, top]] = [x, y].map((ends) => ends.map(zoom.share));
  const style = { ...place(left, bottom), width: `${right - left}%`, height: `${top - bottom}%` };
  return [make("span", { class: "m2e-interval", "aria-hidden": true, style })];
}

// The emotion over time as a line; its points seek to their time.
function path({ curve }, zoom) {
  if (curve.length < 2) return [];
  const spots = curve.map((each) => [zoom.share(each.valence), zoom.share(each.arousal)]);
  const line = make("polyline", { points: spots.map(([x, y]) => `${x},${100 - y}`).join(" ") });
  const steps = curve.map((each, i) => {
    const when = `${clock(each.start)} – ${clock(each.end)}`;
    const button = { type: "button", class: "m2e-step", tabindex: -1, "data-second": each.start };
    const named = { "aria-label": `${when}: ${values(each)}`, style: place(...spots[i]) };
    return make("button", { ...button, ...named }, tip(when, values(each), ...spots[i]));
  });
  const drawn = make("svg", { viewBox: "0 0 100 100", preserveAspectRatio: "none", "aria-hidden": true }, line);
  return [make("div", { class: curve.length > MANY ? "m2e-path m2e-dense" : "m2e-path" }, drawn, ...steps)];
}
