// The key of timed chords, and what the network is told of both: modeling_m2e/key_m2e.py, harmony_statistics_m2e.py.
import { argmax, logSoftmax, QUALITY_COUNT } from "./chords.js";

const ROOTED = 12 * QUALITY_COUNT;
const SMALL = 1e-9;
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

// 29 numbers of all logits (frames, 170) of a track; all NaN without frames.
export function statistics(logits, classes) {
  const frames = logits.length / classes;
  const logProbabilities = logSoftmax(logits, classes);
  const means = new Float64Array(classes);
  let [entropy, squared, surest, surprise, changes, moved] = [0, 0, 0, 0, 0, 0];
  let last = null;
  for (let frame = 0; frame < frames; frame++) {
    const p = logProbabilities.subarray(frame * classes, (frame + 1) * classes).map(Math.exp);
    let disorder = 0;
    for (let i = 0; i < classes; i++) {
      disorder -= p[i] * Math.log(p[i] + SMALL);
      means[i] += p[i] / frames;
      if (last) moved += Math.abs(p[i] - last[i]) / frames;
    }
    const best = argmax(p);
    if (last) changes += (best !== argmax(last)) / frames;
    entropy += disorder / frames;
    squared += disorder ** 2 / frames;
    surest += p[best] / frames;
    surprise += Math.log(p[best] + SMALL) / frames;
    last = p;
  }
  if (!frames) return new Float32Array(QUALITY_COUNT + 15).fill(NaN);
  const kinds = new Float64Array(QUALITY_COUNT);
  const roots = new Float64Array(12);
  for (let i = 0; i < ROOTED; i++) {
    kinds[i % QUALITY_COUNT] += means[i];
    roots[Math.floor(i / QUALITY_COUNT)] += means[i];
  }
  const rooted = Math.max(sum(roots), SMALL);
  const shares = roots.map((x) => x / rooted);
  const magnitudes = [1, 2, 3, 4, 5, 6].map((k) => {
    const turn = (i) => (2 * Math.PI * k * i) / 12;
    return Math.hypot(sum(shares.map((x, i) => x * Math.cos(turn(i)))), sum(shares.map((x, i) => x * Math.sin(turn(i)))));
  });
  return Float32Array.from([
    ...[...kinds, means[ROOTED], means[ROOTED + 1]].map((x) => Math.log(x + 1e-3)),
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
