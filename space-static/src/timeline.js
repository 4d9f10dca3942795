// A track over time: waveform, curve, key and chords under each other, with one cursor, which results.js moves.
import { clock, make, notes } from "./dom.js";
import { MANY, tintStyle } from "./scale.js";

const BINS = 240; // bars of the waveform
const FAINTEST = 0.03; // of its height, so that silence is a line
const TICKS = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600]; // seconds
const MOST_TICKS = 6;
const SHORT = { maj: "", min: "m", min6: "m6", maj6: "6", min7: "m7", minmaj7: "mM7", hdim7: "m7b5" };

// The highest samples of equal parts of a waveform; the loudest part is 1.
export function outline(waveform) {
  const bins = Math.min(BINS, waveform.length);
  const peaks = Array.from({ length: bins }, (_, i) => {
    let peak = 0;
    const end = Math.floor(((i + 1) * waveform.length) / bins);
    for (let at = Math.floor((i * waveform.length) / bins); at < end; at++) peak = Math.max(peak, Math.abs(waveform[at]));
    return peak;
  });
  const loudest = Math.max(...peaks) || 1;
  return peaks.map((peak) => peak / loudest);
}

// "A:min7" -> "Am7"
export function shortChord(label) {
  const [root, quality = ""] = label.split(":");
  return root + (SHORT[quality] ?? quality);
}

// track: {name, url, outline, record}
export function timeline({ name, url, outline, record }, zoom) {
  const { duration, chords } = record;
  const slider = { role: "slider", tabindex: 0, "aria-label": `Position in ${name}` };
  const range = { "aria-valuemin": 0, "aria-valuemax": duration.toFixed(1), "aria-valuenow": 0 };
  const lanes = [
    make("div", { class: "m2e-lane m2e-wave", ...slider, ...range }, wave(outline, record)),
    make("div", { class: "m2e-lane m2e-curve", role: "img", "aria-label": curveSentence(record) }, ...curve(record, zoom)),
    ...(chords ? harmony(record) : []),
    make("div", { class: "m2e-cursor", "aria-hidden": true }),
  ];
  return make(
    "div",
    { class: "m2e-time", "data-track": JSON.stringify(data(record, zoom)), "data-source": url },
    make("div", { class: "m2e-along" }, make("output", { class: "m2e-readout", "aria-live": "off" })),
    make("div", { class: "m2e-lanes" }, ...lanes),
    make("div", { class: "m2e-times", "aria-hidden": true }, ...times(duration)),
  );
}

// What the cursor says: [start, end, valence, arousal, x, y] of windows and [start, end, name] of chords.
const data = ({ duration, curve, chords }, zoom) => ({
  duration,
  curve: curve.map(({ start, end, valence, arousal }) => {
    const places = [zoom.share(valence), zoom.share(arousal)];
    return [start, end, valence.toFixed(1), arousal.toFixed(1), ...places];
  }),
  chords: (chords ?? []).map(({ start, end, label }) => [start, end, shortChord(label)]),
});

function times(duration) {
  const every = TICKS.find((seconds) => duration / seconds <= MOST_TICKS) ?? 7200;
  const marks = Array.from({ length: Math.floor(duration / every) + 1 }, (_, i) => i * every);
  return marks.map((second) => make("span", { style: { left: `${(100 * second) / duration}%` } }, clock(second)));
}

// A bar per peak, in the colours of the emotion at its time.
function wave(peaks, { duration, curve }) {
  const bars = peaks.map((peak, i) => {
    const half = 48 * Math.max(peak, FAINTEST);
    return `M${i + 0.5} ${50 - half}V${50 + half}`;
  });
  const stops = curve.map((part) => {
    const offset = `${(50 * (part.start + part.end)) / duration}%`;
    return make("stop", { class: "m2e-tint", offset, style: tintStyle(part) });
  });
  const gradient = make("linearGradient", { id: "m2e-emotion", gradientUnits: "userSpaceOnUse", x2: peaks.length }, ...stops);
  const path = make("path", { stroke: "url(#m2e-emotion)", d: bars.join("") });
  const box = { viewBox: `0 0 ${peaks.length} 100`, preserveAspectRatio: "none", "aria-hidden": true };
  return make("svg", box, make("defs", {}, gradient), path);
}

function curve({ duration, curve: windows }, zoom) {
  const lines = zoom.ticks.map((tick) => {
    const y = 100 - zoom.share(tick);
    return make("line", { class: tick === 5 ? "m2e-middle" : "", x2: 100, y1: y, y2: y });
  });
  for (const name of ["valence", "arousal"]) {
    const points = windows.map((part) => [(50 * (part.start + part.end)) / duration, 100 - zoom.share(part[name])]);
    const ends = [[0, points[0][1]], ...points, [100, points.at(-1)[1]]];
    lines.push(make("polyline", { class: `m2e-${name}`, points: ends.join(" ") }));
    const dots = points.map(([x, y]) => `M${x} ${y}h.01`).join("");
    if (points.length <= MANY) lines.push(make("path", { class: `m2e-${name}`, d: dots }));
  }
  const numbers = zoom.ticks.map((tick) => make("span", { style: { bottom: `${zoom.share(tick)}%` } }, tick));
  return [
    make("svg", { viewBox: "0 0 100 100", preserveAspectRatio: "none", "aria-hidden": true }, ...lines),
    make("div", { class: "m2e-ticks" }, ...numbers),
  ];
}

function curveSentence({ curve }) {
  const range = (name) => {
    const values = curve.map((part) => part[name]);
    return `${name} from ${Math.min(...values).toFixed(1)} to ${Math.max(...values).toFixed(1)}`;
  };
  return `Emotion curve: ${range("valence")}, ${range("arousal")}`;
}

function harmony({ duration, key, chords }) {
  const span = (start, end, name, kind = "") => {
    const style = { left: `${(100 * start) / duration}%`, width: `${(100 * (end - start)) / duration}%` };
    const title = `${notes(name)}, ${clock(start)} – ${clock(end)}`;
    return make("span", { class: kind, title, style }, make("b", { class: `m2e-long-${Math.min(name.length, 6)}` }, notes(name)));
  };
  const sounding = chords.filter(({ label }) => label !== "N");
  const quality = (label) => (/:(min|dim|hdim)/.test(label) ? "m2e-minor" : "m2e-major");
  const spans = sounding.map(({ start, end, label }) => span(start, end, shortChord(label), quality(label)));
  const named = key ? `${key.tonic} ${key.mode}` : "key undecided";
  return [
    make("div", { class: "m2e-lane m2e-keys", role: "group", "aria-label": "Key" }, span(0, duration, named)),
    make("div", { class: "m2e-lane m2e-chords", role: "group", "aria-label": "Chords" }, ...spans),
  ];
}
