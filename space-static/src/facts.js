// What is said of one track: a sentence, tiles for its values, bars for its moods.
import { make, notes } from "./dom.js";
import { POLES, WORDS } from "./plane.js";
import { TYPICAL } from "./scale.js";

const MOODS = 8;

export function sentence({ quadrant, key }) {
  const words = WORDS[quadrant];
  return words[0].toUpperCase() + words.slice(1) + (key ? `, in ${notes(`${key.tonic} ${key.mode}`)}` : "");
}

export function facts(record) {
  const { quadrant, key, moods } = record;
  const cells = ["Q2", "Q1", "Q3", "Q4"].map((name) => make("i", { class: name === quadrant ? "m2e-on" : "" }));
  const grid = make("span", { class: "m2e-cells", "aria-hidden": true }, ...cells);
  const keyed = key ? [notes(`${key.tonic} ${key.mode}`), `confidence ${percent(key.confidence)}`] : ["–", "undecided"];
  const tiles = [
    ...Object.keys(POLES).map((name) => value(name, record[name])),
    tile("Quadrant", [make("b", {}, quadrant), grid], [WORDS[quadrant]]),
    tile("Key", [make("b", {}, keyed[0])], [keyed[1]]),
  ];
  const title = make("h3", {}, "Moods ", make("small", {}, "probability"));
  const listed = make("div", { class: "m2e-moods" }, title, make("ul", {}, ...moods.slice(0, MOODS).map(bar)));
  return make("div", { class: "m2e-facts" }, make("div", { class: "m2e-tiles" }, ...tiles), listed);
}

const percent = (share) => `${Math.round(100 * share)}%`;

const tile = (name, values, below, kind = "") =>
  make("div", { class: `m2e-tile ${kind}` }, make("h3", {}, name), make("p", {}, ...values), make("small", {}, ...below));

// A value on the whole scale, over the usual range of songs.
function value(name, number) {
  const share = (of) => (100 * (of - 1)) / 8;
  const [low, high] = TYPICAL[name].map(share);
  const usual = make("i", { class: "m2e-usual", style: { left: `${low}%`, width: `${high - low}%` } });
  const mark = make("i", { class: "m2e-mark", style: { left: `${share(number)}%` } });
  const scale = make("span", { class: "m2e-scale", "aria-hidden": true }, usual, mark);
  const ends = POLES[name].map((words) => make("span", {}, words));
  const title = name[0].toUpperCase() + name.slice(1);
  return tile(title, [make("b", {}, number.toFixed(1)), " of 1–9"], [scale, ...ends], `m2e-${name}`);
}

function bar({ label, score }) {
  const filled = make("span", { class: "m2e-bar" }, make("i", { style: { width: percent(score) } }));
  return make("li", {}, make("span"), make("span", {}, label), filled, make("b", {}, percent(score)));
}
