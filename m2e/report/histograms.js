"use strict";
// Bars of moods, keys and numbers: the share of the chosen tracks and, once something is chosen, of the whole library.
// A click on a bar chooses its tracks, a second one drops the choice; several bars of a chart add up.

const TOP_MOODS = 23;
const BINS = Math.round(Math.min(24, Math.max(6, Math.sqrt(total)))); // of a number, about
const charts = []; // { chart, draw }

function histogram(box, facet, shape) {
  // facet: bins [{ label, words }] and binsOf(i), the bins of a track
  // shape: { horizontal, visible() -> the bins that are drawn, colour(bin), axis }
  const chart = echarts.init(box, null, { renderer: "canvas" });
  const count = () => {
    const [all, chosen] = [new Uint32Array(facet.bins.length), new Uint32Array(facet.bins.length)];
    let [whole, part] = [0, 0];
    for (let i = 0; i < total; i++) {
      const counted = isShownBut(i, facet);
      whole++;
      part += counted;
      for (const bin of facet.binsOf(i)) { all[bin]++; chosen[bin] += counted; }
    }
    return { all, chosen, whole, part };
  };
  const draw = () => {
    const { all, chosen, whole, part } = count();
    const bins = shape.visible ? shape.visible() : facet.bins.map((_, bin) => bin);
    const filtered = part < whole;
    const dim = (bin) => facet.picked.size > 0 && !facet.picked.has(bin);
    const bars = (name, heights, style, more) => ({
      type: "bar", name, data: bins.map((bin) => ({ value: heights(bin), itemStyle: style(bin), bin })), animation: false,
      cursor: "pointer", ...more,
    });
    const category = {
      type: "category", data: bins.map((bin) => facet.bins[bin].label), axisTick: { show: false }, triggerEvent: true,
      axisLine: { lineStyle: { color: css("--line") } },
      axisLabel: { color: css("--ink"), fontFamily: font, fontSize: 12, ...shape.label() }, inverse: shape.horizontal,
    };
    const value = {
      type: "value", splitNumber: 3, axisLabel: { color: css("--muted"), fontFamily: font, fontSize: 11, formatter: "{value} %", hideOverlap: true },
      splitLine: { lineStyle: { color: css("--line") } }, min: 0, max: ({ max }) => (max > 80 ? 100 : null),
    };
    chart.setOption({
      grid: shape.horizontal ? { left: 104, right: 16, top: 2, bottom: 22 } : { left: 40, right: 8, top: 10, bottom: shape.bottom ?? 22 },
      xAxis: shape.horizontal ? value : category, yAxis: shape.horizontal ? category : value,
      tooltip: {
        ...tooltip(), trigger: "axis", axisPointer: { type: "shadow", shadowStyle: { color: css("--hover") } },
        formatter: ([{ dataIndex }]) => {
          const bin = bins[dataIndex];
          const lines = [`${many(chosen[bin], "track")}, ${percent(chosen[bin], part).toFixed(1)} %`];
          if (filtered) lines.push(`${percent(all[bin], whole).toFixed(1)} % of the library`);
          return tip(facet.bins[bin].words, ...lines);
        },
      },
      series: [
        bars("chosen", (bin) => percent(chosen[bin], part), (bin) => ({ color: shape.colour(bin), opacity: dim(bin) ? 0.35 : 1 }), {
          barCategoryGap: shape.gap ?? "22%", barGap: "-100%", z: 2,
        }),
        bars("library", (bin) => percent(all[bin], whole), () => ({ color: "transparent", borderColor: css("--ink"), borderWidth: filtered ? 1 : 0, borderType: "dotted" }), {
          z: 3, silent: true, barGap: "-100%",
        }),
      ],
      aria: { enabled: true, decal: { show: false } },
    }, { replaceMerge: ["series"] });
    box.setAttribute("aria-label", describe(facet, bins, chosen, part));
  };
  const toggle = (bin) => {
    if (!facet.picked.delete(bin)) facet.picked.add(bin);
    refilter(facet);
    update();
  };
  // The whole column or row of a bar takes the click, since low bars are hard to hit.
  chart.getZr().on("click", ({ offsetX, offsetY }) => {
    const bins = shape.visible ? shape.visible() : facet.bins.map((_, bin) => bin);
    const [x, y] = [offsetX, offsetY];
    const place = shape.horizontal
      ? chart.convertFromPixel({ yAxisIndex: 0 }, y) : chart.convertFromPixel({ xAxisIndex: 0 }, x);
    if (bins[place] !== undefined && y < box.clientHeight) toggle(bins[place]);
  });
  chart.getZr().on("mousemove", () => chart.getZr().setCursorStyle("pointer"));
  box.setAttribute("role", "img");
  charts.push({ chart, draw });
  return chart;
}
function describe(facet, bins, chosen, part) { // what a screen reader says
  const best = [...bins].sort((a, b) => chosen[b] - chosen[a]).slice(0, 5);
  return `${facet.name}: ${best.map((bin) => `${facet.bins[bin].words} ${percent(chosen[bin], part).toFixed(0)} %`).join(", ")}`;
}
function barFacet(name, bins, binsOf) {
  const facet = addFacet({
    name, bins, binsOf, matches: (i) => binsOf(i).some((bin) => facet.picked.has(bin)),
    chips: () => [...facet.picked].sort((a, b) => a - b).map((bin) => ({
      label: bins[bin].chip ?? bins[bin].words, drop: () => facet.picked.delete(bin),
    })),
  });
  return facet;
}

// --- moods ---

let allMoods = false;
if (data.moods.length) {
  const facet = barFacet("Moods", data.moods.map((mood) => ({ label: mood, words: mood })), (i) => tracks.moods[i]);
  const visible = () => data.moods.map((_, mood) => mood).slice(0, allMoods ? undefined : TOP_MOODS);
  const size = () => { find("moods").style.height = `${Math.max(4, visible().length) * 24 + 26}px`; };
  size();
  const chart = histogram(find("moods"), facet, {
    horizontal: true, visible, colour: () => css("--bar"), label: () => ({ interval: 0, width: 96, overflow: "truncate" }),
  });
  const button = find("all-moods");
  const name = () => { button.textContent = allMoods ? `top ${TOP_MOODS}` : `all ${data.moods.length}`; };
  name();
  button.hidden = data.moods.length <= TOP_MOODS;
  button.addEventListener("click", () => {
    allMoods = !allMoods;
    button.setAttribute("aria-expanded", allMoods);
    name();
    size();
    chart.resize();
    charts.find((one) => one.chart === chart).draw();
  });
} else document.querySelector(".moods").hidden = true;

// --- keys: major and minor of a tonic beside each other ---

if (tracks.key.some((key) => key >= 0)) {
  const keys = data.tonics.flatMap((_, at) => [at, at + 12]);
  const place = Object.fromEntries(keys.map((key, at) => [key, at]));
  const bins = keys.map((key) => ({ label: keyNames[key], words: keyWords(key) }));
  const facet = barFacet("Keys", bins, (i) => (tracks.key[i] < 0 ? [] : [place[tracks.key[i]]]));
  histogram(find("keys"), facet, {
    colour: (bin) => css(bin % 2 ? "--minor" : "--major"), gap: "12%", bottom: 26,
    label: () => ({ interval: find("keys").clientWidth < 700 ? 1 : 0, fontSize: 11 }),
  });
} else document.querySelector(".keys").hidden = true;

// --- numbers ---

function edgesOf(values, decimals) { // of at most BINS bins with round borders
  const sorted = sortedKnown(values);
  const low = sorted[0], high = sorted[Math.floor(0.995 * (sorted.length - 1))]; // a last bin takes the few beyond
  const smallest = 10 ** -decimals;
  const raw = Math.max((high - low) / BINS, smallest);
  const ten = 10 ** Math.floor(Math.log10(raw));
  const step = Math.max(smallest, [1, 2, 2.5, 5, 10].map((each) => each * ten).find((each) => each >= raw - 1e-9));
  const whole = step < 5 && decimals === 0 ? Math.ceil(step) : step;
  const first = Math.floor(low / whole) * whole;
  const count = Math.max(1, Math.floor((high - first) / whole + 1e-9) + 1);
  return { first, step: whole, count };
}
for (const number of data.numbers) {
  const { first, step, count } = edgesOf(number.values, number.decimals);
  const shorter = (value) => String(Number(value.toFixed(number.decimals)));
  const bins = Array.from({ length: count }, (_, at) => {
    const [from, to] = [first + at * step, first + (at + 1) * step - (number.decimals ? 0 : 1)];
    const end = at === count - 1 ? `${shorter(from)} and more` : from === to ? shorter(from) : `${shorter(from)} – ${shorter(to)}`;
    return { label: shorter(from), words: `${number.label} ${end}` };
  });
  const bin = (value) => Math.min(count - 1, Math.floor((value - first) / step + 1e-9));
  const cells = number.values.map((value) => (value === null ? [] : [bin(value)]));
  const facet = barFacet(number.label, bins, (i) => cells[i]);
  const box = element("div", { class: "plot" });
  find("numbers").append(element("figure", {}, element("figcaption", {}, number.label), box));
  histogram(box, facet, { colour: () => css("--bar"), gap: "8%", label: () => ({ hideOverlap: true, color: css("--muted"), fontSize: 11 }) });
}
if (!data.numbers.length) document.querySelector(".numbers").hidden = true;

// One chart per frame, so that the map and the table come first and typing is not held up.
let waiting = [];
const drawNext = inFrame(() => {
  waiting.shift()?.draw();
  if (waiting.length) drawNext();
});
function drawCharts() {
  waiting = [...charts];
  drawNext();
}
onUpdate(drawCharts);
