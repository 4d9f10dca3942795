// From the logits of frames to timed chords: the decoding "smooth" of modeling_m2e/chord_decoding_m2e.py and chords_m2e.py.
// `rules` is the part "chords" of model.json. A chord is the index of its class; the last two classes are X and N.

export const QUALITY_COUNT = 14;

// (frames, classes) logits -> log-probabilities of the same shape.
export function logSoftmax(logits, classes) {
  const result = new Float32Array(logits.length);
  for (let start = 0; start < logits.length; start += classes) {
    const frame = logits.subarray(start, start + classes);
    const most = frame.reduce((a, b) => Math.max(a, b), -Infinity);
    const total = Math.log(frame.reduce((sum, x) => sum + Math.exp(x - most), 0));
    for (let i = 0; i < classes; i++) result[start + i] = frame[i] - most - total;
  }
  return result;
}

export const argmax = (values) => values.reduce((best, value, index) => (value > values[best] ? index : best), 0);

// The most probable path through log-probabilities, where every change costs `penalty`.
export function bestPath(logProbabilities, classes, penalty) {
  const frames = logProbabilities.length / classes;
  const best = new Int32Array(frames);
  const stayed = new Uint8Array(frames * classes);
  let scores = Float32Array.from(logProbabilities.subarray(0, classes));
  for (let frame = 1; frame < frames; frame++) {
    best[frame] = argmax(scores);
    const changed = scores[best[frame]] - penalty;
    let most = -Infinity;
    for (let i = 0; i < classes; i++) {
      stayed[frame * classes + i] = scores[i] >= changed;
      scores[i] = Math.max(scores[i], changed) + logProbabilities[frame * classes + i];
      most = Math.max(most, scores[i]);
    }
    for (let i = 0; i < classes; i++) scores[i] -= most;
  }
  const ids = new Int32Array(frames);
  ids[frames - 1] = argmax(scores);
  for (let frame = frames - 1; frame > 0; frame--)
    ids[frame - 1] = stayed[frame * classes + ids[frame]] ? ids[frame] : best[frame];
  return ids;
}

// 24 rows: logarithms of how much likelier each class is in a key than anywhere; C major to B major, then minor.
function inKeys(rules, classes) {
  const rows = [];
  for (const table of rules.keys)
    for (let tonic = 0; tonic < 12; tonic++) {
      const row = new Float64Array(classes);
      for (let i = 0; i < 12 * QUALITY_COUNT; i++) {
        const root = Math.floor(i / QUALITY_COUNT);
        row[i] = table[(root - tonic + 12) % 12][rules.thirds[i % QUALITY_COUNT]];
      }
      rows.push(row);
    }
  return rows;
}

// What the keys around every frame suggest: (frames, classes) log-ratios, of the chords `ids`.
export function tonalContext(ids, rules, classes) {
  const keys = inKeys(rules, classes);
  const sums = keys.map((row) => {
    const sum = new Float64Array(ids.length + 1);
    ids.forEach((id, frame) => (sum[frame + 1] = sum[frame] + row[id]));
    return sum;
  });
  const ratios = keys.map((row) => row.map(Math.exp));
  const result = new Float32Array(ids.length * classes);
  for (let frame = 0; frame < ids.length; frame++) {
    const begin = Math.max(frame - rules.context_frames, 0);
    const end = Math.min(frame + rules.context_frames + 1, ids.length);
    const evidence = sums.map((sum) => rules.evidence_weight * (sum[end] - sum[begin]));
    const most = Math.max(...evidence);
    const shares = evidence.map((x) => Math.exp(x - most));
    const total = shares.reduce((a, b) => a + b);
    for (let i = 0; i < classes; i++) {
      let ratio = 0;
      for (let key = 0; key < shares.length; key++) ratio += shares[key] * ratios[key][i];
      result[frame * classes + i] = Math.log(ratio / total);
    }
  }
  return result;
}

// A chord before N lasts until its sound has decayed.
export function extendIntoDecay(ids, levels, likeliest, rules, none) {
  const sorted = Float32Array.from(levels).sort();
  const place = 0.95 * (sorted.length - 1);
  const low = sorted[Math.floor(place)];
  const threshold = low + (sorted[Math.ceil(place)] - low) * (place % 1) - rules.decayed;
  const extended = Int32Array.from(ids);
  const root = (id) => Math.floor(id / QUALITY_COUNT);
  for (let frame = 1; frame < ids.length; frame++)
    if (ids[frame] === none && levels[frame] > threshold && root(likeliest[frame]) === root(extended[frame - 1]))
      extended[frame] = extended[frame - 1];
  return extended;
}

// Borders in seconds, each moved to the strongest onset nearby; they keep their order.
export function moveToOnsets(borders, strength, { hop_seconds: hop, max_move: most, spread }) {
  const moved = [...borders];
  borders.forEach((border, index) => {
    const before = index ? moved[index - 1] : 0;
    const after = index + 1 < borders.length ? borders[index + 1] : Infinity;
    const first = Math.trunc(Math.max(border - most, before) / hop) + 2;
    const last = Math.max(first, Math.trunc(Math.min(border + most, after) / hop));
    const nearby = strength.subarray(first, last);
    if (!nearby.some((x) => x !== 0)) return;
    const mean = nearby.reduce((a, b) => a + b) / nearby.length;
    const times = Array.from(nearby, (_, i) => (first + i - 0.5) * hop);
    moved[index] = times[argmax(times.map((t, i) => (nearby[i] + mean) * Math.exp(-0.5 * ((t - border) / spread) ** 2)))];
  });
  return moved;
}

// [{start, end, id}] without gaps, of a track of `duration` seconds.
export function decode({ logits, levels, onsets }, rules, duration) {
  const classes = rules.labels.length;
  const frames = levels.length;
  const none = rules.labels.indexOf("N");
  const forced = Float32Array.from(logits);
  const likeliest = new Int32Array(frames);
  for (let frame = 0; frame < frames; frame++) {
    const row = forced.subarray(frame * classes, (frame + 1) * classes);
    likeliest[frame] = argmax(row.subarray(0, classes - 2));
    if (levels[frame] < rules.silence) row.fill(-20).fill(0, none, none + 1);
  }
  const logProbabilities = logSoftmax(forced, classes);
  const context = tonalContext(bestPath(logProbabilities, classes, rules.change_penalty), rules, classes);
  const inKey = logProbabilities.map((x, i) => x + rules.key_weight * context[i]);
  let ids = bestPath(inKey, classes, rules.change_penalty);
  ids = extendIntoDecay(ids, levels, likeliest, rules, none);
  const changes = [];
  for (let frame = 1; frame < frames; frame++) if (ids[frame] !== ids[frame - 1]) changes.push(frame);
  const borders = moveToOnsets(changes.map((frame) => frame * rules.seconds_per_frame), onsets, rules.onsets);
  const times = [0, ...borders, frames * rules.seconds_per_frame];
  return [0, ...changes]
    .map((frame, i) => ({ start: times[i], end: Math.min(times[i + 1], duration), id: ids[frame] }))
    .filter((chord) => chord.start < duration);
}
