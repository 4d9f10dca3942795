// From a waveform to the record of a track, by three graphs. `run(graph, inputs)` gives {output: {data, dims}}.
import { decode } from "./chords.js";
import {
  cells,
  cellsBetween,
  chordInputs,
  clipped,
  estimateKey,
  statistics,
  withoutEdges,
  withSilence,
} from "./harmony.js";
import { compose } from "./record.js";
import { embed, withoutSilence } from "./windows.js";

const MARGIN_CHUNKS = 2; // around a part, so that every block of frames is whole that one of its frames lies in
const PART_CHUNKS = 12;
const MAX_PAUSE_SECONDS = 10; // for chords; a shorter pause is recognised as one
const PARTS_PER_CONTEXT = 3; // a part of the curve is so much shorter than the harmony around it

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
  const track = { embeddings, weights, spans, duration, chords: null, key: null };
  if (chordRules) Object.assign(track, await harmonyOf(waveform, model, run, (share) => tell(0.5 + 0.5 * share)));
  const outputs = await heads(track, model, run);
  return compose(outputs, await curveOf(track, outputs, model, run), model, track);
}

// {chords, key, cells} of a waveform. Unless it is decoded as published, silence is no chord and changes no other chord.
async function harmonyOf(waveform, model, run, tell) {
  const { sampling_rate: rate, chords: rules } = model;
  const duration = waveform.length / rate;
  const cut = rules.decoding === "paper" ? null : withoutSilence(waveform, rate, MAX_PAUSE_SECONDS);
  const samples = cut ? cut.kept : waveform;
  const frames = await chordFrames(samples, rules, run, tell);
  const found = decode(frames, rules, samples.length / rate);
  const statistics = cells(frames.logits, rules.labels.length, rules.seconds_per_frame);
  if (!cut) return { chords: found, key: estimateKey(found, model.key), cells: statistics };
  for (const cell of statistics) cell[0] = cut.place(Math.round(cell[0] * rate)) / rate;
  const chords = withSilence(found, cut.parts, rate, duration, rules.labels.indexOf("N"));
  return { chords, key: estimateKey(chords, model.key), cells: statistics };
}

// The outputs of the network for a track, or a part of one.
function heads({ embeddings, weights, chords, key, cells }, model, run) {
  const inputs = {
    embeddings: [joined(embeddings), [embeddings.length, embeddings[0].length]],
    window_weights: [Float32Array.from(weights), [weights.length]],
  };
  if (chords) {
    const { labels } = model.chords;
    const inner = model.chord_edges ? chords : withoutEdges(chords, labels.indexOf("N"));
    for (const [name, values] of Object.entries(chordInputs(inner, key, labels, model.tokens)))
      inputs[name] = [values, name === "mode" ? [] : [values.length]];
    const numbers = statistics(cells);
    inputs.harmony_statistics = [numbers, [numbers.length]];
  }
  const wanted = Object.keys(model.graphs.model.inputs);
  return run("model", Object.fromEntries(wanted.map((name) => [name, inputs[name]])));
}

// Valence and arousal of each window, one after the other: with the harmony around it, if the model was made so.
async function curveOf(track, outputs, model, run) {
  const seconds = model.windows.harmony_seconds;
  if (!seconds || track.duration <= seconds) return outputs.window_va?.data ?? [];
  const found = [];
  for (const part of parts(track, seconds, model)) found.push((await heads(part, model, run)).window_va.data);
  return joined(found);
}

// The track in runs of windows, each with the harmony of `seconds` around its middle.
function* parts(track, seconds, model) {
  const { spans, duration } = track;
  const run = ([start, end]) => Math.floor(((start + end) / 2 / seconds) * PARTS_PER_CONTEXT);
  for (let first = 0; first < spans.length; ) {
    let last = first + 1;
    while (last < spans.length && run(spans[last]) === run(spans[first])) last++;
    const middle = (spans[first][0] + spans[last - 1][1]) / 2;
    const start = Math.min(Math.max(0, middle - seconds / 2), duration - seconds);
    const part = { embeddings: track.embeddings.slice(first, last), weights: track.weights.slice(first, last), chords: null };
    if (track.chords) {
      part.chords = clipped(track.chords, start, start + seconds);
      part.key = estimateKey(part.chords, model.key);
      part.cells = cellsBetween(track.cells, start, start + seconds, duration);
    }
    yield part;
    first = last;
  }
}
