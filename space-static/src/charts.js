// Charts as SVG: points of tracks on the plane of valence and arousal, and the curve of one track.
const SVG = "http://www.w3.org/2000/svg";

function draw(name, attributes, text = "") {
  const element = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  element.textContent = text;
  return element;
}

const onto = (low, high, from, to) => (value) => from + ((value - low) / (high - low)) * (to - from);

// tracks: [{name, record, chosen}]. The chosen one is drawn last, above the others.
export function drawPlane(svg, tracks, { scale: [low, high], neutral: [valence, arousal] }) {
  const x = onto(low, high, 16, 304);
  const y = onto(low, high, 304, 16);
  const line = (x1, y1, x2, y2) => draw("line", { x1, y1, x2, y2, class: "line" });
  const corners = [
    [296, 26, "end", "happy, energetic"],
    [24, 26, "start", "tense, angry"],
    [24, 300, "start", "sad"],
    [296, 300, "end", "calm"],
  ];
  svg.replaceChildren(
    line(x(valence), 16, x(valence), 304),
    line(16, y(arousal), 304, y(arousal)),
    ...corners.map(([left, top, anchor, text]) => draw("text", { x: left, y: top, "text-anchor": anchor }, text)),
    ...[...tracks]
      .sort((a, b) => a.chosen - b.chosen)
      .map(({ name, record, chosen }) => {
        const place = { cx: x(record.valence), cy: y(record.arousal), r: chosen ? 7 : 5 };
        const point = draw("circle", { ...place, class: chosen ? "point chosen" : "point" });
        point.append(draw("title", {}, name));
        return point;
      }),
  );
}

// A step per window for valence and arousal, and a cursor. Returns what moves the cursor to a second.
export function drawCurve(svg, { curve, duration }, [low, high]) {
  const x = onto(0, duration, 24, 632);
  const y = onto(low, high, 288, 8);
  const path = (dimension) =>
    curve.map((p, i) => `${i ? "L" : "M"}${x(p.start)} ${y(p[dimension])}H${x(p.end)}`).join("");
  const cursor = draw("line", { y1: 8, y2: 288, class: "now" });
  const move = (second) => {
    for (const side of ["x1", "x2"]) cursor.setAttribute(side, x(Math.min(second, duration)));
  };
  const marks = [low, (low + high) / 2, high].flatMap((value) => [
    draw("line", { x1: 24, x2: 632, y1: y(value), y2: y(value), class: "line" }),
    draw("text", { x: 18, y: y(value) + 4, "text-anchor": "end" }, value),
  ]);
  const lines = ["valence", "arousal"].map((name) => draw("path", { d: path(name), class: name }));
  svg.replaceChildren(...marks, ...lines, cursor);
  move(0);
  return move;
}
