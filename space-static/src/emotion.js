// From a waveform to the record of a track, by three graphs. `run(graph, inputs)` gives {output: {data, dims}}.
import { argmax, decode } from "./chords.js";
import { chordInputs, estimateKey, statistics } from "./harmony.js";
import { embed } from "./windows.js";

const MARGIN_CHUNKS = 2; // around a part, so that every block of frames is whole that one of its frames lies in
const PART_CHUNKS = 12;

// The chord graph's outputs for a whole track, computed part by part. tell: with the share that is done.
export async function chordFrames(waveform, rules, run, tell) {
  const chunk = rules.chunk_samples;
  const found = { logits: [], levels: [], onsets: [] };
  for (let begin = 0; begin < waveform.length; begin += PART_CHUNKS * chunk) {
    const first = Math.max(begin - MARGIN_CHUNKS * chunk, 0);
    const end = begin + PART_CHUNKS * chunk;
    const part = atLeast(waveform.subarray(first, end + MARGIN_CHUNKS * chunk), 2 * rules.onsets.hop_samples);
    const outputs = await run("chords", { waveform: [part, [part.length]] });
    const before = (begin - first) / chunk;
    const most = end < waveform.length ? before + PART_CHUNKS : Infinity;
    const cut = (name, perChunk) => found[name].push(outputs[name].data.subarray(before * perChunk, most * perChunk));
    cut("logits", rules.chunk_frames * rules.labels.length);
    cut("levels", rules.chunk_frames);
    cut("onsets", chunk / rules.onsets.hop_samples);
    tell(Math.min(end / waveform.length, 1));
  }
  return Object.fromEntries(Object.entries(found).map(([name, parts]) => [name, joined(parts)]));
}

function atLeast(samples, count) {
  if (samples.length >= count) return samples;
  const longer = new Float32Array(count);
  longer.set(samples);
  return longer;
}

export function joined(parts) {
  const result = new Float32Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    result.set(part, at);
    at += part.length;
  }
  return result;
}

// The record of a mono waveform at model.sampling_rate. tell: with the share that is done.
export async function analyze(waveform, model, run, tell = () => {}) {
  const { sampling_rate: rate, chords: chordRules } = model;
  const duration = waveform.length / rate;
  let done = 0;
  const encode = async (window) => {
    const output = await run("encoder", { waveform: [window, [1, window.length]] });
    const width = output.embeddings.data.length;
    const seconds = Array.from({ length: output.seconds.data.length / width }, (_, i) =>
      output.seconds.data.subarray(i * width, (i + 1) * width),
    );
    done += window.length;
    tell(0.5 * Math.min(done / waveform.length, 1));
    return { seconds, embedding: output.embeddings.data };
  };
  const { embeddings, weights, spans } = await embed(waveform, rate, model.windows, encode);
  const inputs = {
    embeddings: [joined(embeddings), [embeddings.length, embeddings[0].length]],
    window_weights: [Float32Array.from(weights), [weights.length]],
  };
  let [chords, key] = [null, null];
  if (chordRules) {
    const frames = await chordFrames(waveform, chordRules, run, (share) => tell(0.5 + 0.5 * share));
    chords = decode(frames, chordRules, duration);
    key = estimateKey(chords, model.key);
    for (const [name, values] of Object.entries(chordInputs(chords, key, chordRules.labels, model.tokens)))
      inputs[name] = [values, name === "mode" ? [] : [values.length]];
    const numbers = statistics(frames.logits, chordRules.labels.length);
    inputs.harmony_statistics = [numbers, [numbers.length]];
  }
  const wanted = Object.keys(model.graphs.model.inputs);
  const outputs = await run("model", Object.fromEntries(wanted.map((name) => [name, inputs[name]])));
  return record(outputs, model, spans, duration, chords, key);
}

function record(outputs, model, spans, duration, chords, key) {
  const [low, high] = model.valence_arousal.scale;
  const { maps } = model.valence_arousal; // of valence and of arousal, where the model is calibrated
  const onScale = (x, axis) => Math.min(Math.max(maps ? interpolated(x, maps[axis]) : x, low), high);
  const { labels, scale, offset, thresholds } = model.moods;
  const moods = labels.map((label, i) => {
    const score = 1 / (1 + Math.exp(-(scale[i] * outputs.mood_logits.data[i] + offset[i])));
    return { label, score, selected: score > thresholds[i] };
  });
  const [valence, arousal] = Array.from(outputs.va.data, onScale);
  const curve = outputs.window_va?.data ?? [];
  const [neutralValence, neutralArousal] = model.valence_arousal.neutral;
  const happier = valence >= neutralValence;
  const quadrant = outputs.quadrant_logits
    ? argmax(outputs.quadrant_logits.data)
    : arousal >= neutralArousal
      ? Number(!happier)
      : 2 + Number(happier);
  return {
    duration,
    valence,
    arousal,
    quadrant: `Q${quadrant + 1}`,
    moods: moods.sort((a, b) => b.score - a.score),
    key: key && {
      tonic: model.key.tonics[key.tonic],
      mode: ["major", "minor"][key.mode],
      confidence: key.confidence,
    },
    chords: chords?.map(({ start, end, id }) => ({ start, end, label: model.chords.names[id] })) ?? null,
    curve: spans.map(([start, end], i) => ({
      start,
      end,
      valence: onScale(curve[2 * i], 0),
      arousal: onScale(curve[2 * i + 1], 1),
    })),
  };
}

// The value at x of the line through the points (source, target); constant beyond its ends.
function interpolated(x, { source, target }) {
  const next = source.findIndex((each) => each >= x);
  if (next < 0) return target.at(-1);
  if (next === 0) return target[0];
  const share = (x - source[next - 1]) / (source[next] - source[next - 1]);
  return target[next - 1] + share * (target[next] - target[next - 1]);
}
