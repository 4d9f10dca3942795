// What is said of one track: a sentence, tiles for its values, bars for its moods and attributes.
import { make, notes } from "./dom.js";
import { POLES, quadrantWords, WORDS } from "./plane.js";
import { TYPICAL } from "./scale.js";

const MOODS = 8;

// Sound that is no music has no summary.
export const headline = ({ summary }) => (summary === null ? "Perhaps no music" : notes(summary));

export const warnings = (record) => record.warnings.map((sentence) => make("p", { class: "m2e-warning" }, sentence));

export function facts(record) {
  const { quadrant, between, key } = record;
  const keyed = key ? [notes(`${key.tonic} ${key.mode}`), `confidence ${percent(key.confidence)}`] : ["–", "undecided"];
  const tiles = [
    ...Object.keys(POLES).map((name) => value(name, record[name], record[`${name}_interval`])),
    tile("Quadrant", [make("b", {}, quadrant), cells(record)], [between ? quadrantWords(record) : WORDS[quadrant]]),
    tile("Key", [make("b", {}, keyed[0])], [keyed[1]]),
  ];
  return make("div", { class: "m2e-facts" }, make("div", { class: "m2e-tiles" }, ...tiles), moodsOf(record));
}

// Bars of the most probable moods; the others are hidden until opened.
function moodsOf({ moods, selected_moods: selected }) {
  const bars = moods.map(({ label, score }) => bar(label, score, selected.includes(label)));
  const rest = make("ul", { tabindex: 0, "aria-label": "More moods" }, ...bars.slice(MOODS));
  const more = make("details", {}, make("summary", {}, `${rest.children.length} more`), rest);
  const title = make("h3", {}, "Moods ", make("small", {}, "probability; ✓ describes the track"));
  const shown = make("ul", {}, ...bars.slice(0, MOODS));
  return make("div", { class: "m2e-moods" }, title, shown, ...(rest.children.length ? [more] : []));
}

// Bars of energy, danceability and what else the model measures; none where it measures nothing.
export function attributes({ attributes: measured }) {
  const bars = Object.entries(measured ?? {}).map(([name, score]) => bar(name, score));
  const title = make("h3", {}, "Attributes");
  return bars.length ? [make("div", { class: "m2e-moods m2e-attributes" }, title, make("ul", {}, ...bars))] : [];
}

// The quadrants as they lie on the plane, with their probabilities where these are known.
function cells({ quadrant, quadrant_scores: scores }) {
  const drawn = ["Q2", "Q1", "Q3", "Q4"].map((name) => {
    const kind = { class: name === quadrant ? "m2e-on" : "" };
    return scores ? make("i", { ...kind, style: { "--score": percent(scores[name]) } }, percent(scores[name])) : make("i", kind);
  });
  return make("span", { class: scores ? "m2e-cells m2e-scored" : "m2e-cells", "aria-hidden": true }, ...drawn);
}

const percent = (share) => `${Math.round(100 * share)}%`;

const tile = (name, values, below, kind = "") =>
  make("div", { class: `m2e-tile ${kind}` }, make("h3", {}, name), make("p", {}, ...values), make("small", {}, ...below));

// A value on the whole scale, over the usual range of songs, with its interval where it is known.
function value(name, number, interval) {
  const share = (of) => (100 * (of - 1)) / 8;
  const range = (ends, kind) => {
    const [low, high] = ends.map(share);
    return make("i", { class: kind, style: { left: `${low}%`, width: `${high - low}%` } });
  };
  const mark = make("i", { class: "m2e-mark", style: { left: `${share(number)}%` } });
  const ranges = [range(TYPICAL[name], "m2e-usual"), ...(interval ? [range(interval, "m2e-likely")] : [])];
  const scale = make("span", { class: "m2e-scale", "aria-hidden": true }, ...ranges, mark);
  const ends = POLES[name].map((words) => make("span", {}, words));
  const title = name[0].toUpperCase() + name.slice(1);
  const likely = interval ? ` · likely ${interval.map((end) => end.toFixed(1)).join("–")}` : "";
  return tile(title, [make("b", {}, number.toFixed(1)), ` of 1–9${likely}`], [scale, ...ends], `m2e-${name}`);
}

function bar(label, score, selected = false) {
  const filled = make("span", { class: "m2e-bar" }, make("i", { style: { width: percent(score) } }));
  const mark = selected ? make("span", { role: "img", "aria-label": "selected" }, "✓") : make("span");
  return make("li", { class: selected ? "m2e-on" : "" }, mark, make("span", {}, label), filled, make("b", {}, percent(score)));
}
