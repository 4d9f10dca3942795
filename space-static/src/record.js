// From the outputs of the network to the record of a track: modeling_m2e/output_m2e.py and answers_m2e.py.
import { argmax } from "./chords.js";
import { between, describeTrack, selectByLift, selectByThreshold, summary } from "./words.js";

const DIMENSIONS = ["valence", "arousal"];

// outputs: {name: {data}}. curve: valence and arousal of each span, one after the other. chords and key may be null.
export function compose(outputs, curve, model, { spans, duration, chords, key }) {
  const { record: rules, answers } = model;
  const [valence, arousal] = onScale(outputs.va.data, model);
  const [neutralValence, neutralArousal] = model.valence_arousal.neutral;
  const place = placed(valence >= neutralValence, arousal >= neutralArousal);
  const probabilities = moodProbabilities(outputs.mood_logits.data, model.moods);
  const described = outputs.descriptor_logits?.data;
  const { music, attributes } = describeTrack(described ? model.descriptors : [], described, rules);
  const musical = music === null || music >= rules.music.threshold;
  const logits = outputs.quadrant_logits?.data;
  const scores = logits ? quadrantScores(logits, answers.quadrant_temperature) : null;
  const labels = musical ? selected(probabilities, model).map((i) => model.moods.labels[i]) : [];
  const record = {
    duration,
    valence,
    arousal,
    quadrant: logits ? `Q${argmax(logits) + 1}` : place,
    quadrant_scores: scores,
    between: scores && between(scores, place, rules),
    moods: probabilities.map((score, i) => ({ label: model.moods.labels[i], score })).sort((a, b) => b.score - a.score),
    selected_moods: labels,
    key: key && {
      tonic: model.key.tonics[key.tonic],
      mode: ["major", "minor"][key.mode],
      confidence: key.confidence,
    },
    chords: chords?.map(({ start, end, id }) => ({ start, end, label: model.chords.names[id] })) ?? null,
    curve: spans.map(([start, end], i) => {
      const [valence, arousal] = onScale(curve.slice(2 * i, 2 * i + 2), model);
      return { start, end, valence, arousal };
    }),
    music,
    attributes,
    warnings: musical ? [] : [rules.music.warning],
    ...intervals([valence, arousal], outputs.va_spread?.data ?? [0, 0], duration, model),
  };
  const off = Math.max(Math.abs(valence - neutralValence), Math.abs(arousal - neutralArousal));
  return { ...record, summary: musical ? summary(record, off < rules.central, rules) : null };
}

const placed = (pleasant, energetic) => (energetic ? (pleasant ? "Q1" : "Q2") : pleasant ? "Q4" : "Q3");

function onScale(values, { valence_arousal: { scale }, answers: { calibration } }) {
  const calibrated = (x, axis) => (calibration ? interpolated(x, calibration[DIMENSIONS[axis]]) : x);
  return Array.from(values, (x, axis) => Math.min(Math.max(calibrated(x, axis), scale[0]), scale[1]));
}

const moodProbabilities = (logits, { scale, offset }) =>
  Array.from(logits, (logit, i) => 1 / (1 + Math.exp(-(scale[i] * logit + offset[i]))));

function selected(probabilities, { moods, answers, record: rules }) {
  const baseRates = answers.mood_base_rates;
  return baseRates ? selectByLift(probabilities, baseRates, rules) : selectByThreshold(probabilities, moods.thresholds);
}

function quadrantScores(logits, temperature) {
  const most = Math.max(...logits);
  const odds = Array.from(logits, (logit) => Math.exp((logit - most) / temperature));
  const total = odds.reduce((a, b) => a + b);
  return Object.fromEntries(odds.map((each, i) => [`Q${i + 1}`, each / total]));
}

// {valence_interval, arousal_interval} as `Width.around` gives them, of a model that knows them.
function intervals(values, spreads, duration, { answers, record: rules, valence_arousal: { scale } }) {
  if (!answers.intervals) return {};
  const share = Math.min(Math.max(duration / rules.full_seconds, rules.min_share), 1);
  const found = DIMENSIONS.map((name, axis) => {
    const { constant, spread, seconds, below, above } = answers.intervals[name];
    const moved = Math.log(spreads[axis] + rules.spread_floor);
    const width = Math.exp(constant + spread * moved + seconds * Math.log(share));
    const ends = [values[axis] - below * width, values[axis] + above * width];
    return [`${name}_interval`, [Math.max(ends[0], scale[0]), Math.min(ends[1], scale[1])]];
  });
  return Object.fromEntries(found);
}

// The value at x of the line through the points (source, target); constant beyond its ends.
function interpolated(x, { source, target }) {
  const next = source.findIndex((each) => each >= x);
  if (next < 0) return target.at(-1);
  if (next === 0) return target[0];
  const share = (x - source[next - 1]) / (source[next] - source[next - 1]);
  return target[next - 1] + share * (target[next] - target[next - 1]);
}
