"use strict";
// The table of the chosen tracks: only the rows in view exist, so that any number of tracks scrolls smoothly.

const table = find("table");
const narrowPage = matchMedia("(max-width: 760px)");
const shortNames = {
  instrumentalness: "Instr.", danceability: "Dance", acousticness: "Acoustic", speechiness: "Speech", liveness: "Live", tempo: "BPM",
};
const columns = [
  { name: "title", label: "Title", width: "minmax(220px, 2.4fr)", cell: titleCell },
  { name: "moods", label: "Moods", width: "minmax(120px, 1.6fr)", cell: (i) => element("span", { class: "faint" }, moodNames(i).join(", ")) },
  { name: "key", label: "Key", width: "60px", cell: keyName },
  { name: "valence", label: "Valence", width: "84px", number: true, cell: (i) => tracks.valence[i].toFixed(1) },
  { name: "arousal", label: "Arousal", width: "84px", number: true, cell: (i) => tracks.arousal[i].toFixed(1) },
  ...data.numbers.filter(({ name }) => name !== "duration").map(({ name, label, values, decimals }) => ({
    name, label: shortNames[name] ?? label.replace(" %", ""), title: label, width: "minmax(62px, 70px)", number: true, cell: (i) => (values[i] === null ? "" : values[i].toFixed(decimals)),
  })),
  { name: "duration", label: "Time", width: "76px", number: true, cell: (i) => clock(tracks.duration[i]) },
];
if (!tracks.key.some((key) => key >= 0)) columns.splice(columns.findIndex(({ name }) => name === "key"), 1);

// What tells apart tracks without tags: the folder, as far as it is not that of all.
const folderOf = (i) => tracks.path[i].replace(/[^\\/]*$/, "").replace(/[\\/]$/, "");
function titleCell(i) {
  const under = [tracks.artist[i], narrowPage.matches ? moodNames(i).slice(0, 3).join(", ") : tracks.album[i]];
  return element("span", { class: "title", title: data.root + tracks.path[i] },
    element("b", {}, titles[i]), element("small", {}, under.filter(Boolean).join(" · ") || folderOf(i)));
}
const shownColumns = () => narrowPage.matches
  ? columns.filter(({ name }) => ["title", "valence", "arousal"].includes(name)) : columns;

const header = element("div", { class: "row header", role: "row" });
const body = element("div", { class: "body", role: "rowgroup" });
const empty = element("p", { class: "empty" }, total ? "No track matches. Remove a filter above." : "There are no tracks.");
table.append(header, body, empty);
const ROW = 44; // pixels, as in the style
const SPARE = 8; // rows above and below the view
table.style.setProperty("--content", `${Math.max(3, total) * ROW + 38}px`);
let drawn = new Map(); // place in `shown` -> row

function drawHeader() {
  const widths = shownColumns().map(({ width, name }) =>
    narrowPage.matches ? (name === "title" ? "minmax(0, 1fr)" : "72px") : width).join(" ");
  table.style.setProperty("--columns", widths);
  header.replaceChildren(...shownColumns().map((column) => {
    const sorted = order.column === column.name;
    return element("div", { role: "columnheader", class: column.number ? "number" : "", "aria-sort": sorted ? (order.down ? "descending" : "ascending") : "none" },
      element("button", { type: "button", title: `Sort by ${(column.title ?? column.label).toLowerCase()}`, onclick: () => sortBy(column.name) },
        column.label, element("i", { "aria-hidden": "true" }, sorted ? (order.down ? "▼" : "▲") : "")));
  }));
  find("sort").value = order.column;
}
function sortBy(column, down = order.column === column ? !order.down : false) {
  Object.assign(order, { column, down });
  reorder();
  table.scrollTop = 0;
  drawHeader();
  drawTable();
}
function makeRow(place) {
  const i = shown[place];
  const row = element("div", { class: i === focus ? "row focus" : "row", role: "row", "aria-rowindex": place + 2 },
    ...shownColumns().map((column) => element("div", { role: "cell", class: column.number ? "number" : "" }, column.cell(i))));
  row.style.transform = `translateY(${place * ROW}px)`;
  row.addEventListener("click", () => setFocus(i === focus ? -1 : i));
  return row;
}
function drawView() { // adds the rows that came into view, removes the others
  const first = Math.max(0, Math.floor(table.scrollTop / ROW) - SPARE);
  const last = Math.min(shown.length, Math.ceil((table.scrollTop + table.clientHeight) / ROW) + SPARE);
  for (const [place, row] of drawn) {
    if (place < first || place >= last) { row.remove(); drawn.delete(place); }
  }
  for (let place = first; place < last; place++) {
    if (!drawn.has(place)) {
      drawn.set(place, makeRow(place));
      body.append(drawn.get(place));
    }
  }
}
function drawTable() {
  body.replaceChildren();
  drawn = new Map();
  body.style.height = `${shown.length * ROW}px`;
  table.setAttribute("aria-rowcount", shown.length + 1);
  empty.hidden = shown.length > 0;
  drawView();
}
table.addEventListener("scroll", inFrame(drawView), { passive: true });
narrowPage.addEventListener("change", () => { drawHeader(); drawTable(); });
onUpdate(() => { table.scrollTop = 0; drawTable(); });
focusListeners.push(() => {
  const place = shown.indexOf(focus);
  if (place >= 0) {
    const top = place * ROW;
    if (top < table.scrollTop || top + 2 * ROW > table.scrollTop + table.clientHeight) table.scrollTop = Math.max(0, top - 3 * ROW);
  }
  drawTable();
});

for (const { name, label, title } of columns) find("sort").append(element("option", { value: name }, title ?? label));
find("sort").append(element("option", { value: "path" }, "Path"));
find("sort").addEventListener("change", ({ target }) => sortBy(target.value, false));
drawHeader();
