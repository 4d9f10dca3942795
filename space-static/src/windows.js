// Cuts a waveform into the windows of the encoder, and averages its seconds: modeling_m2e/windows_m2e.py, silence_m2e.py,
// window_embeddings_m2e.py. `rules` is the part "windows" of model.json.
const BLOCK_SECONDS = 0.1;
const SILENCE_POWER = 1e-9; // -90 dB
const SOFTEST = 1e-6; // of the loudest block so far
const MAX_PAUSE_SECONDS = 1;
const MIN_SECONDS = 0.5;

// {kept: waveform without silence, place: from a sample of it to the sample of the track, parts: [sample, place] at which
// each part begins that nothing is left out of}.
export function withoutSilence(waveform, rate, maxPause = MAX_PAUSE_SECONDS) {
  const size = Math.round(BLOCK_SECONDS * rate);
  const maxPauseBlocks = Math.round(maxPause / BLOCK_SECONDS);
  const parts = [];
  const starts = [0];
  const shifts = [0];
  let [pause, kept, loudest] = [[], 0, 0];
  const keep = (part) => {
    parts.push(part);
    kept += part.length;
  };
  for (let begin = 0; begin < waveform.length; begin += size) {
    const block = waveform.subarray(begin, begin + size);
    const mean = block.reduce((a, b) => a + b, 0) / block.length;
    const power = block.reduce((a, b) => a + (b - mean) ** 2, 0) / block.length;
    loudest = Math.max(loudest, power);
    if (power >= Math.max(SILENCE_POWER, SOFTEST * loudest)) {
      pause.forEach(keep);
      pause = [];
      keep(block);
      const shift = begin + block.length - kept;
      if (shift !== shifts.at(-1)) {
        starts.push(kept - block.length);
        shifts.push(shift);
      }
    } else if (kept && pause.length < maxPauseBlocks) pause.push(block);
  }
  const result = new Float32Array(kept);
  let at = 0;
  for (const part of parts) {
    result.set(part, at);
    at += part.length;
  }
  const place = (sample) => sample + shifts[starts.findLastIndex((start) => start <= sample)];
  return { kept: result, place, parts: starts.map((start, i) => [start, start + shifts[i]]) };
}

// [{first, last: samples that the encoder takes; start, end, weight: the part of the track that they stand for}].
// align: the tail begins at a multiple of so many samples.
export function windowPlan(samples, size, minTailShare, align = 1) {
  const full = Math.floor(samples / size);
  const tail = samples - full * size;
  if (!full) return [{ first: 0, last: samples, start: 0, end: samples, weight: 1 }];
  const plan = Array.from({ length: full }, (_, i) => [i * size, (i + 1) * size]).map(([first, last]) => {
    return { first, last, start: first, end: last, weight: 1 };
  });
  if (tail >= minTailShare * size) {
    const first = full * size - Math.floor((size - tail) / align) * align;
    plan.push({ first, last: samples, start: full * size, end: samples, weight: tail / size });
  } else plan.at(-1).end = samples;
  return plan;
}

// (start, end) of sliding windows of `size` cells, every `hop` cells, over `count` cells.
export function slidingPlan(count, size, hop) {
  const starts = [];
  for (let start = 0; start <= Math.max(count - size, 0); start += hop) starts.push(start);
  if (starts.at(-1) + size < count) starts.push(count - size);
  return starts.map((start) => [start, Math.min(start + size, count)]);
}

// {embeddings: arrays, weights, spans: seconds of the track}. encode: of a window, {seconds: arrays, embedding}.
export async function embed(waveform, rate, rules, encode) {
  const duration = waveform.length / rate;
  let [samples, place] = [waveform, (sample) => sample];
  if (rules.skip_silence) {
    ({ kept: samples, place } = withoutSilence(waveform, rate));
    const missing = Math.round(MIN_SECONDS * rate) - samples.length;
    const whole = Math.round(rules.encoder_seconds * rate);
    if (!samples.length) {
      // a silent track is one window, its beginning
      const { embedding } = await encode(waveform.subarray(0, whole));
      return { embeddings: [embedding], weights: [1], spans: [[0, duration]] };
    }
    if (missing > 0) samples = Float32Array.from({ length: samples.length + missing }, (_, i) => samples[i] ?? 0);
  }
  const total = samples.length;
  const span = (start, end) => {
    end = Math.min(end, total);
    return [place(start) / rate, Math.min((place(end - 1) + 1) / rate, duration)];
  };
  if (rules.hop_seconds === null) {
    const plan = windowPlan(total, Math.round(rules.seconds * rate), rules.min_tail_share);
    const embeddings = [];
    for (const { first, last } of plan) embeddings.push((await encode(samples.subarray(first, last))).embedding);
    return { embeddings, weights: plan.map((w) => w.weight), spans: plan.map((w) => span(w.start, w.end)) };
  }
  const size = Math.round(rules.encoder_seconds * rate);
  const plan = windowPlan(total, size, rules.min_tail_share, rate);
  const seconds = [];
  for (const [index, { first, last, start }] of plan.entries()) {
    // the last window without what the one before has, and without a last second that is less than half full
    let found = (await encode(samples.subarray(first, last))).seconds;
    if (index === plan.length - 1) found = found.slice((start - first) / rate, Math.max(1, Math.round((last - first) / rate)));
    seconds.push(...found);
  }
  const cells = slidingPlan(seconds.length, rules.seconds, rules.hop_seconds);
  const embeddings = cells.map(([start, end]) => mean(seconds.slice(start, end)));
  const spans = cells.map(([start, end]) => span(start * rate, (end < seconds.length ? end : end + 1) * rate));
  return { embeddings, weights: cells.map(() => 1), spans };
}

function mean(vectors) {
  return Float32Array.from(vectors[0], (_, i) => vectors.reduce((sum, vector) => sum + vector[i], 0) / vectors.length);
}
