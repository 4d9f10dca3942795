// A track in words: modeling_m2e/words_m2e.py, descriptors_m2e.py and `between` of scale_m2e.py. `rules` is the part
// "record" of model.json.

// The indices of one to six moods that are more probable than in other tracks, the most telling first.
export function selectByLift(probabilities, baseRates, rules) {
  const told = probabilities.map((p, i) => p * Math.log(Math.max(p / baseRates[i], 1e-9)));
  const [best, ...others] = descending(told).slice(0, rules.most_moods);
  const least = rules.telling_share * told[best];
  return best === undefined ? [] : [best, ...others.filter((i) => least > 0 && told[i] >= least)];
}

// The indices of the moods above their thresholds, the most probable first.
export const selectByThreshold = (probabilities, thresholds) =>
  descending(probabilities).filter((i) => probabilities[i] > thresholds[i]);

const descending = (values) => values.map((_, i) => i).sort((a, b) => values[b] - values[a]);

// The two quadrants that a track lies between, or null where one is right. place: the quadrant of its values.
export function between(scores, place, rules) {
  const [best, second] = Object.keys(scores).sort((a, b) => scores[b] - scores[a]);
  if (best === place && scores[best] - scores[second] >= rules.close) return null;
  return [best, place === best ? second : place].sort();
}

// {music, attributes}, each null where the model does not know it.
export function describeTrack(names, logOdds, rules) {
  const values = Object.fromEntries(names.map((name, i) => [name, 1 / (1 + Math.exp(-logOdds[i]))]));
  const known = rules.attributes.filter((name) => name in values);
  const attributes = known.length ? Object.fromEntries(known.map((name) => [name, values[name]])) : null;
  return { music: values[rules.music.name] ?? null, attributes };
}

// A sentence such as "Dark and tense, F major". moods: the selected ones. central: near the middle of the plane.
export function summary({ selected_moods: moods, quadrant, between, key }, central, rules) {
  const places = (between ?? [quadrant]).map((name) => rules.quadrants[name]);
  const fits = (signs) => signs.every((sign, axis) => places.some((place) => sign === 0 || sign === place[axis + 1]));
  const adjectives = moods.filter((mood) => mood in rules.adjectives).map((mood) => rules.adjectives[mood]);
  const fitting = adjectives.filter(([, ...signs]) => central || fits(signs)).map(([word]) => word);
  const words = fitting.slice(0, rules.spoken_moods);
  const own = places.map(([word]) => word);
  const parts = words.length && (central || between) ? [words.join(" and ")] : [];
  if (!(central && words.length)) {
    const both = [...new Set([...words, ...own])].slice(0, rules.spoken_moods).join(" and ");
    parts.push(between ? `between ${own.join(" and ")}` : both);
  }
  if (key && key.confidence >= rules.key_threshold) parts.push(`${key.tonic} ${key.mode}`);
  const sentence = parts.join(", ");
  return sentence[0].toUpperCase() + sentence.slice(1);
}
