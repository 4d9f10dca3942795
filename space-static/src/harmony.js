// The key of timed chords, and what the network is told of both: modeling_m2e/key_m2e.py, harmony_m2e.py,
// harmony_statistics_m2e.py, local_harmony_m2e.py.
import { argmax, logSoftmax, QUALITY_COUNT } from "./chords.js";

const ROOTED = 12 * QUALITY_COUNT;
const SMALL = 1e-9;
const MIN_SILENCE = 0.01; // seconds; shorter gaps are roundings
const MIN_PART = 0.1; // seconds; of a chord on one side of left-out silence, less is an error of its border
const CELL_FRAMES = 108; // of 10 s
const NUMBERS = 8; // of a cell, before the probabilities
const sum = (values) => values.reduce((a, b) => a + b, 0);

// {tonic: 0-11, mode: 0 major or 1 minor, confidence}, or null where nothing decides it.
export function estimateKey(chords, rules) {
  const seconds = new Float64Array(12);
  for (const { start, end, id } of chords)
    if (id < ROOTED)
      for (const interval of rules.intervals[id % QUALITY_COUNT])
        seconds[(Math.floor(id / QUALITY_COUNT) + interval) % 12] += end - start;
  const total = sum(seconds) + rules.prior_seconds;
  const roots = seconds.map((x) => Math.sqrt(x / total));
  const scores = [];
  rules.weights.forEach((weights, mode) => {
    for (let tonic = 0; tonic < 12; tonic++)
      scores.push(sum(weights.map((weight, i) => weight * roots[(i + tonic) % 12])) + mode * rules.minor_offset);
  });
  const best = argmax(scores);
  if (scores.filter((score) => score > scores[best] - 1e-7).length > 1) return null;
  const probability = 1 / sum(scores.map((score) => Math.exp(score - scores[best])));
  return { tonic: best % 12, mode: Math.floor(best / 12), confidence: confidence(probability, chords, rules.confidence) };
}

// The probability that a key is right, of its probability in the softmax.
function confidence(probability, chords, { weights, max_seconds, lone_chord }) {
  const sounding = chords.filter(({ id }) => id < ROOTED);
  const seconds = Math.min(sum(sounding.map(({ start, end }) => end - start)), max_seconds);
  const inside = Math.min(Math.max(probability, 1e-6), 1 - 1e-6);
  const different = new Set(sounding.map(({ id }) => id)).size;
  const [odds, time] = [Math.log(inside / (1 - inside)), Math.log(Math.max(seconds, 0.1))];
  const features = [1, odds, time, Math.log(different), odds * time];
  const fitted = 1 / (1 + Math.exp(-sum(features.map((feature, i) => feature * weights[i]))));
  return different === 1 ? Math.min(fitted, lone_chord) : fitted;
}

// Chords of a waveform without silence at their places in the track; the silence between these is no chord, `none`.
// parts: as `withoutSilence` gives them. duration: of the track in seconds.
export function withSilence(chords, parts, rate, duration, none) {
  const borders = [...parts.slice(1).map(([sample]) => sample / rate), Infinity];
  const placed = [];
  let part = 0;
  for (const chord of chords)
    for (let start = chord.start; start < chord.end; ) {
      while (start >= borders[part]) part++;
      const end = Math.min(chord.end, borders[part]);
      const shift = (parts[part][1] - parts[part][0]) / rate;
      const whole = end - start === chord.end - chord.start;
      if (whole || end - start >= MIN_PART) placed.push({ ...chord, start: start + shift, end: end + shift });
      start = end;
    }
  const whole = [];
  const add = (chord) => {
    const before = whole.at(-1);
    if (before && before.id === none && chord.id === none) before.end = Math.max(before.end, chord.end);
    else whole.push({ ...chord });
  };
  for (const chord of [...placed, { start: duration, end: duration, id: none }]) {
    const before = whole.at(-1)?.end ?? 0;
    if (chord.start - before > MIN_SILENCE) add({ start: before, end: chord.start, id: none });
    add(chord);
  }
  return whole
    .map((chord) => ({ ...chord, end: Math.min(chord.end, duration) }))
    .filter((chord) => chord.start < duration);
}

// Chords between two times, the outer ones shortened.
export function clipped(chords, start, end) {
  return chords
    .filter((chord) => chord.end > start && chord.start < end)
    .map((chord) => ({ ...chord, start: Math.max(chord.start, start), end: Math.min(chord.end, end) }));
}

// The chords from the first to the last: what is no chord before and after them is no harmony.
export function withoutEdges(chords, none) {
  const sounds = ({ id }) => id !== none;
  return chords.slice(Math.max(chords.findIndex(sounds), 0), chords.findLastIndex(sounds) + 1);
}

// Chords moved to C major or A minor, as arrays of the network's tokens; one masked chord where there are none.
export function chordInputs(chords, key, labels, tokens) {
  const shift = key ? (key.mode ? 9 : 0) - key.tonic + 12 : 0;
  const moved = (id) =>
    id < ROOTED ? ((Math.floor(id / QUALITY_COUNT) + shift) % 12) * QUALITY_COUNT + (id % QUALITY_COUNT) : id;
  const pairs = chords.length ? chords.map(({ id }) => tokens[labels[moved(id)]]) : [[0, 0]];
  return {
    chord_roots: BigInt64Array.from(pairs, ([root]) => BigInt(root)),
    chord_qualities: BigInt64Array.from(pairs, ([, quality]) => BigInt(quality)),
    chord_durations: Float32Array.from(chords.length ? chords : [{ start: 0, end: 0 }], (c) => c.end - c.start),
    chord_mask: Uint8Array.from(pairs, () => Number(chords.length > 0)),
    mode: Float32Array.of(key?.mode ?? 0),
  };
}

// Cells of 10 s of all logits (frames, 170): [start in seconds, frames, changes of chord, sums of entropy, entropy squared,
// best probability, its logarithm, distance to the frame before, and of the probabilities].
export function cells(logits, classes, secondsPerFrame) {
  const logProbabilities = logSoftmax(logits, classes);
  const found = [];
  let last = null;
  for (let frame = 0; frame < logits.length / classes; frame++) {
    if (frame % CELL_FRAMES === 0) {
      found.push(new Float64Array(NUMBERS + classes));
      found.at(-1)[0] = frame * secondsPerFrame;
    }
    const cell = found.at(-1);
    const p = logProbabilities.subarray(frame * classes, (frame + 1) * classes).map(Math.exp);
    let [disorder, moved] = [0, 0];
    for (let i = 0; i < classes; i++) {
      disorder -= p[i] * Math.log(p[i] + SMALL);
      cell[NUMBERS + i] += p[i];
      if (last) moved += Math.abs(p[i] - last[i]);
    }
    const best = argmax(p);
    const changed = Number(last !== null && best !== argmax(last));
    [1, changed, disorder, disorder ** 2, p[best], Math.log(p[best] + SMALL), moved].forEach((x, i) => (cell[1 + i] += x));
    last = p;
  }
  return found;
}

// Those cells that lie between two times in the track for the greater part, or the nearest one.
export function cellsBetween(cells, start, end, duration) {
  const middles = cells.map((cell, i) => (cell[0] + (cells[i + 1]?.[0] ?? duration)) / 2);
  const inside = cells.filter((_, i) => middles[i] >= start && middles[i] < end);
  if (inside.length || !cells.length) return inside;
  return [cells[argmax(middles.map((middle) => -Math.abs(middle - (start + end) / 2)))]];
}

// 29 numbers of the cells of a track or of a part of it; all NaN without cells.
export function statistics(cells) {
  if (!cells.length) return new Float32Array(QUALITY_COUNT + 15).fill(NaN);
  const total = Float64Array.from(cells[0], (_, i) => sum(cells.map((cell) => cell[i])));
  const means = total.map((x) => x / total[1]);
  const [changes, entropy, squared, surest, surprise, moved] = means.subarray(2, NUMBERS);
  const classes = means.subarray(NUMBERS);
  const kinds = new Float64Array(QUALITY_COUNT);
  const roots = new Float64Array(12);
  for (let i = 0; i < ROOTED; i++) {
    kinds[i % QUALITY_COUNT] += classes[i];
    roots[Math.floor(i / QUALITY_COUNT)] += classes[i];
  }
  const rooted = Math.max(sum(roots), SMALL);
  const shares = roots.map((x) => x / rooted);
  const magnitudes = [1, 2, 3, 4, 5, 6].map((k) => {
    const turn = (i) => (2 * Math.PI * k * i) / 12;
    return Math.hypot(sum(shares.map((x, i) => x * Math.cos(turn(i)))), sum(shares.map((x, i) => x * Math.sin(turn(i)))));
  });
  return Float32Array.from([
    ...[...kinds, classes[ROOTED], classes[ROOTED + 1]].map((x) => Math.log(x + 1e-3)),
    entropy,
    Math.sqrt(Math.max(squared - entropy ** 2, 0)),
    surest,
    surprise,
    changes,
    moved,
    -sum(shares.map((x) => x * Math.log(x + SMALL))),
    ...magnitudes,
  ]);
}
