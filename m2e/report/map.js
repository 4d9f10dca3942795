"use strict";
// The valence-arousal plane: zoom, hover, click and lasso.

const [LOW, HIGH] = data.scale;
const NEUTRAL = (LOW + HIGH) / 2;
const CLASSES = 5; // of the values of a number
const touch = matchMedia("(pointer: coarse)").matches;
const quadrantOf = (x, y) => (y >= NEUTRAL ? (x >= NEUTRAL ? 0 : 1) : x >= NEUTRAL ? 3 : 2);

// Ways to colour the points: the names of the classes, their colours, and the class of every track (-1: unknown).
function colouring(name) {
  if (name === "quadrant") {
    return {
      names: data.quadrants.map((words, i) => `Q${i + 1} ${words}`),
      colours: [1, 2, 3, 4].map((i) => css(`--q${i}`)),
      of: (i) => quadrantOf(tracks.valence[i], tracks.arousal[i]),
    };
  }
  const ramp = Array.from({ length: CLASSES }, (_, i) => css(`--ramp${i + 1}`));
  if (name === "mode") {
    return {
      names: ["major", "minor"], colours: [css("--major"), css("--minor")],
      of: (i) => (tracks.key[i] < 0 ? -1 : Number(tracks.key[i] >= 12)),
    };
  }
  const { values } = data.numbers.find((number) => number.name === name);
  const sorted = sortedKnown(values);
  // classes of equally many tracks, as far as equal values allow
  const edges = Array.from({ length: CLASSES - 1 }, (_, i) => sorted[Math.floor((sorted.length * (i + 1)) / CLASSES)]);
  const show = (value) => (name === "duration" ? clock(value * 60) : value);
  const names = [sorted[0], ...edges].map((from, i) => `${show(from)} – ${show(edges[i] ?? sorted[sorted.length - 1])}`);
  return {
    names, colours: ramp,
    of: (i) => (values[i] === null ? -1 : edges.reduce((count, edge) => count + (values[i] >= edge), 0)),
  };
}

const map = echarts.init(find("map"), null, { renderer: "canvas" });
const sizeOf = (count) => (count < 300 ? 10 : count < 1200 ? 7 : count < 4000 ? 5 : 3.6); // below 4 ECharts draws fast squares
let groups = []; // the tracks of each series of points
let colours = null; // the result of `colouring`

function extent(values) { // of the data with a margin, at least one step of the scale
  let [low, high] = [HIGH, LOW];
  for (const value of values) { low = Math.min(low, value); high = Math.max(high, value); }
  if (low > high) return [LOW, HIGH];
  const margin = Math.max((high - low) * 0.1, (1 - (high - low)) / 2, 0.05);
  return [Math.max(LOW, low - margin), Math.min(HIGH, high + margin)];
}
const fitted = () => ({ x: extent(tracks.valence), y: extent(tracks.arousal) });

function zoomTo({ x, y }) {
  map.dispatchAction({ type: "dataZoom", batch: [
    { dataZoomId: "x", startValue: x[0], endValue: x[1] }, { dataZoomId: "y", startValue: y[0], endValue: y[1] },
  ] });
}
function view() {
  const [x, y] = map.getOption().dataZoom.map(({ startValue, endValue }) => [startValue, endValue]);
  return { x, y };
}
function zoomBy(factor) {
  const narrower = ([low, high]) => {
    const [middle, half] = [(low + high) / 2, (Math.min(high - low, HIGH - LOW) / 2) * factor];
    return [Math.max(LOW, middle - half), Math.min(HIGH, middle + half)];
  };
  const { x, y } = view();
  zoomTo({ x: narrower(x), y: narrower(y) });
}

function axis(name) {
  const [low, high] = data.poles[name];
  const horizontal = name === "valence";
  return {
    type: "value", min: LOW, max: HIGH, name: `${low}  ←  ${name}  →  ${high}`, nameLocation: "middle",
    nameGap: horizontal ? 28 : 34, nameTextStyle: { color: css("--muted"), fontSize: 13, fontFamily: font },
    axisLine: { show: false }, axisTick: { show: false },
    axisLabel: { color: css("--muted"), fontFamily: font, formatter: (value) => Number(value.toFixed(2)), showMinLabel: false, showMaxLabel: false },
    splitLine: { lineStyle: { color: css("--line") } },
  };
}
function zoom(id, name, [startValue, endValue]) {
  return {
    type: "inside", id, [id === "x" ? "xAxisIndex" : "yAxisIndex"]: 0, startValue, endValue, filterMode: "none",
    minValueSpan: 0.1, moveOnMouseMove: !touch, preventDefaultMouseMove: !touch, zoomOnMouseWheel: true, throttle: 30,
  };
}
function trackTip(i) {
  const keys = keyName(i) ? `${keyWords(tracks.key[i])} · ` : "";
  return tip(
    titles[i], [tracks.artist[i], tracks.album[i]].filter(Boolean).join(" · "),
    `valence ${tracks.valence[i].toFixed(1)} · arousal ${tracks.arousal[i].toFixed(1)}`,
    moodNames(i).slice(0, 4).join(", "), `${keys}${clock(tracks.duration[i])}`,
  );
}

function drawMap(whole) {
  colours ??= colouring(find("colour").value);
  const others = [];
  groups = [[], ...colours.names.map(() => []), []]; // not chosen; classes; unknown
  for (let i = 0; i < total; i++) {
    const kind = isShown(i) ? colours.of(i) : -2;
    groups[kind === -2 ? 0 : kind === -1 ? groups.length - 1 : kind + 1].push(i);
  }
  const paints = [css("--other"), ...colours.colours, css("--unknown")];
  const points = (group) => {
    const flat = new Float32Array(2 * group.length);
    group.forEach((i, at) => { flat[2 * at] = tracks.valence[i]; flat[2 * at + 1] = tracks.arousal[i]; });
    return flat;
  };
  const series = groups.map((group, at) => ({
    type: "scatter", id: `group${at}`, data: points(group), dimensions: ["valence", "arousal"], large: true,
    largeThreshold: 300, progressive: 0, symbolSize: at ? sizeOf(shown.length) : Math.max(3, sizeOf(total) - 2), silent: at === 0,
    itemStyle: { color: paints[at], opacity: at ? (shown.length > 5000 ? 0.65 : 0.85) : 0.5 }, z: at ? 3 : 2,
    cursor: "pointer", animation: false, emphasis: { disabled: true },
  }));
  series.push({
    type: "scatter", id: "neutral", data: [], silent: true, animation: false, z: 4, markLine: {
      silent: true, symbol: "none", label: { show: false }, lineStyle: { color: css("--muted"), type: "solid", width: 1 },
      data: [{ xAxis: NEUTRAL }, { yAxis: NEUTRAL }], animation: false,
    },
  });
  const narrow = find("map").clientWidth < 460;
  const still = { series };
  if (whole) {
    const { x, y } = whole;
    Object.assign(still, {
      grid: { left: narrow ? 44 : 56, right: 14, top: 14, bottom: 46 },
      xAxis: axis("valence"), yAxis: axis("arousal"), dataZoom: [zoom("x", "valence", x), zoom("y", "arousal", y)],
      tooltip: { ...tooltip(), trigger: "item", formatter: ({ seriesIndex, dataIndex }) => trackTip(groups[seriesIndex][dataIndex]) },
      brush: {
        xAxisIndex: 0, yAxisIndex: 0, brushMode: "single", transformable: false, removeOnClick: false, seriesIndex: [], throttleType: "debounce",
        throttleDelay: 300, outOfBrush: {}, inBrush: {}, toolbox: [],
        brushStyle: { color: css("--lasso"), borderColor: css("--ink"), borderWidth: 1.5 },
      },
    });
  }
  map.setOption(still, { replaceMerge: whole ? ["series"] : [] });
  drawLegend();
}

function drawLegend() {
  const entries = colours.names.map((name, at) =>
    element("span", {}, element("i", { style: `background:${colours.colours[at]}` }), `${name} `,
      element("small", {}, groups[at + 1].length.toLocaleString("en"))));
  const unknown = groups[groups.length - 1].length;
  if (unknown) entries.push(element("span", {}, element("i", { style: `background:${css("--unknown")}` }), `unknown ${unknown}`));
  find("legend").replaceChildren(...entries);
}
function drawCorners() { // the quadrant that each corner of the view lies in
  const { x, y } = view();
  [[1, 1], [0, 1], [0, 0], [1, 0]].forEach(([right, up], at) => {
    document.querySelector(`.corner.q${at + 1}`).textContent = data.quadrants[quadrantOf(x[right], y[up])];
  });
}

function drawRing() { // around the track that was clicked
  const [left, top] = focus < 0 ? [] : map.convertToPixel({ gridIndex: 0 }, [tracks.valence[focus], tracks.arousal[focus]]);
  const ring = find("ring");
  ring.hidden = focus < 0 || !map.containPixel({ gridIndex: 0 }, [left, top]);
  if (!ring.hidden) ring.style.transform = `translate(${left}px, ${top}px)`;
}

// --- the lasso ---

let drawing = false;
function setDrawing(on) {
  drawing = on;
  find("lasso").setAttribute("aria-pressed", on);
  find("map").classList.toggle("drawing", on);
  map.dispatchAction({
    type: "takeGlobalCursor", key: "brush", brushOption: { brushType: on ? "polygon" : false, brushMode: "single" },
  });
}
map.on("brushEnd", ({ areas }) => {
  const polygon = areas[0]?.coordRange;
  if (!polygon || polygon.length < 3) return;
  lasso.polygon = polygon;
  refilter(lasso);
  setDrawing(false);
  update();
});
lasso.clear = () => {
  if (!lasso.polygon) return;
  lasso.polygon = null;
  map.dispatchAction({ type: "brush", areas: [] });
};

// --- events ---

map.on("click", ({ seriesIndex, dataIndex, componentType }) => {
  if (componentType === "series" && groups[seriesIndex]) setFocus(groups[seriesIndex][dataIndex]);
});
map.on("dataZoom", inFrame(() => { drawCorners(); drawRing(); }));
find("lasso").addEventListener("click", () => setDrawing(!drawing));
find("closer").addEventListener("click", () => zoomBy(0.6));
find("farther").addEventListener("click", () => zoomBy(1 / 0.6));
find("fit").addEventListener("click", () => zoomTo(fitted()));
find("whole").addEventListener("click", () => zoomTo({ x: [LOW, HIGH], y: [LOW, HIGH] }));
find("colour").append(
  element("option", { value: "quadrant" }, "Quadrant"),
  ...(tracks.key.some((key) => key >= 0) ? [element("option", { value: "mode" }, "Major, minor")] : []),
  ...data.numbers.map(({ name, label }) => element("option", { value: name }, label)),
);
find("colour").addEventListener("change", () => { colours = null; drawMap(); });

onUpdate(() => drawMap());
focusListeners.push(() => {
  drawRing();
  if (focus < 0) return;
  const { x, y } = view(), [valence, arousal] = [tracks.valence[focus], tracks.arousal[focus]];
  if (valence < x[0] || valence > x[1] || arousal < y[0] || arousal > y[1]) zoomTo(fitted());
});
