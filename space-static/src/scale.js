// How values become places and colours: the same numbers as m2e/space/scale.py and plane.py (tested).
const [LOW, HIGH] = [1, 9];
const CENTRE = (LOW + HIGH) / 2;
export const TYPICAL = { valence: [3.4, 6.4], arousal: [3.0, 6.5] };
export const MANY = 24; // points of a curve; more of them would hide each other
const [LEAST_REACH, STEP, MARGIN] = [2, 0.5, 0.2];
const [TINT_REACH, TINT_POWER, TINT_STOPS] = [1.5, 0.5, 8];
const [LABEL_GAP, LABEL_EDGE, ROUNDS] = [9.5, 5, 80];

const within = (value, low, high) => Math.min(Math.max(value, low), high);

// The smallest part of the scale, the same for both axes, that shows all values.
export function zoomOf(values) {
  const farthest = Math.max(0, ...values.map((value) => Math.abs(value - CENTRE)));
  const reach = Math.min(Math.ceil(Math.max(farthest + MARGIN, LEAST_REACH) / STEP) * STEP, CENTRE - LOW);
  const [low, high] = [CENTRE - reach, CENTRE + reach];
  const step = reach > 3 ? 2 : 1;
  const ticks = [];
  for (let tick = Math.ceil(low); tick <= high; tick += step) ticks.push(tick);
  return { low, high, ticks, share: (value) => 100 * within((value - low) / (2 * reach), 0, 1) };
}

// The share of the colour of the high end in percent: 50 at the centre.
export function tint(value) {
  const side = within((value - CENTRE) / TINT_REACH, -1, 1);
  return 50 + 50 * Math.sign(side) * Math.abs(side) ** TINT_POWER;
}

export const tintStyle = ({ valence, arousal }) => ({ "--v": `${tint(valence)}%`, "--a": `${tint(arousal)}%` });

// The backgrounds of two layers that tint a plane: the lower quadrants, and the upper ones, which fade downwards.
export function washes({ low, high }) {
  const stops = Array.from({ length: TINT_STOPS + 1 }, (_, i) => i / TINT_STOPS);
  const share = (stop) => tint(low + (high - low) * stop);
  const gradient = (left, right) => {
    const mixed = stops.map((at) => `color-mix(in oklab,var(--m2e-${right}) ${share(at)}%,var(--m2e-${left})) ${100 * at}%`);
    return `linear-gradient(to right,${mixed})`;
  };
  const fade = stops.map((at) => `rgb(0 0 0/${share(at)}%) ${100 * at}%`);
  return [
    { background: gradient("q3", "q4") },
    { background: gradient("q2", "q1"), "mask-image": `linear-gradient(to top,${fade})` },
  ];
}

// Places for the labels of points: as near to these as possible, apart from each other, inside the plane.
export function spread(spots) {
  const inside = (share) => within(share, LABEL_EDGE, 100 - LABEL_EDGE);
  let places = spots.map((spot) => spot.map(inside));
  for (let round = 0; round < ROUNDS; round++) {
    let moved = false;
    // points at one place leave it in different directions
    const nudged = places.map(([x, y], i) => [x + 0.01 * Math.cos(2.4 * i), y + 0.01 * Math.sin(2.4 * i)]);
    places = places.map((place, i) => {
      const push = [0, 0];
      nudged.forEach((other, j) => {
        const [x, y] = [nudged[i][0] - other[0], nudged[i][1] - other[1]];
        const far = Math.max(Math.hypot(x, y), 1e-6);
        if (i === j || far >= LABEL_GAP) return;
        moved = true;
        for (const [axis, way] of [x, y].entries()) push[axis] += (way * (LABEL_GAP - far)) / 2 / far;
      });
      return place.map((share, axis) => inside(share + push[axis]));
    });
    if (!moved) break;
  }
  return places;
}
