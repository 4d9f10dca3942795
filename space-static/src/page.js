// The page: takes files, decodes them, has a worker predict, and shows the record of the chosen track.
import { clock, make } from "./dom.js";
import { attributes, facts, headline, warnings } from "./facts.js";
import { plane } from "./plane.js";
import attach from "./results.js"; // that of the Space: the player, and the cursor that follows it
import { tintStyle, zoomOf } from "./scale.js";
import { outline, timeline } from "./timeline.js";

const $ = (id) => document.getElementById(id);
const SIGNS = { play: "M8 5v14l11-7z", pause: "M7 5h4v14H7zm6 0h4v14h-4z" };
const tracks = []; // {name, url, outline, record, provider, error, button}, in the order in which they came
let [chosen, shownAnew] = [null, () => {}];

const model = fetch("model/model.json").then((answer) => answer.json());
const worker = new Worker("worker.js", { type: "module" });
worker.onmessage = ({ data: { id, share, record, provider, error } }) => {
  const track = tracks[id];
  if (share !== undefined) return tell(track, make("progress", { value: share, "aria-label": `Analysing ${track.name}` }));
  Object.assign(track, { record, provider, error });
  tell(track, record ? headline(record) : `failed: ${error}`);
  if (record) choose(chosen ?? track);
};

const tell = (track, state) => track.button.querySelector(".state").replaceChildren(state);

// A mono waveform (samples,) of a file, at the rate of the model.
async function decoded(file, rate) {
  const buffer = await new OfflineAudioContext(1, 1, rate).decodeAudioData(await file.arrayBuffer());
  const waveform = new Float32Array(buffer.length);
  for (let channel = 0; channel < buffer.numberOfChannels; channel++)
    buffer.getChannelData(channel).forEach((x, i) => (waveform[i] += x / buffer.numberOfChannels));
  return waveform;
}

async function add(file) {
  const id = tracks.length;
  const parts = ["name", "state"].map((name) => make("span", { class: name }));
  const button = make("button", { type: "button", "aria-pressed": false }, ...parts);
  parts[0].textContent = file.name;
  const track = { name: file.name, url: URL.createObjectURL(file), button };
  tracks.push(track);
  button.addEventListener("click", () => track.record && choose(track));
  $("tracks").append(make("li", {}, button));
  tell(track, "reading");
  try {
    const waveform = await decoded(file, (await model).sampling_rate);
    if (waveform.length < 0.5 * (await model).sampling_rate) throw new Error("shorter than 0.5 s");
    track.outline = outline(waveform);
    tell(track, "waiting");
    worker.postMessage({ id, waveform }, [waveform.buffer]);
  } catch (error) {
    tell(track, `failed: ${error.message}`);
  }
}

const known = () => tracks.filter((track) => track.record);

function choose(track) {
  chosen = track;
  for (const each of tracks) each.button.setAttribute("aria-pressed", each === track);
  const all = known();
  const { record } = track;
  const points = [...all.map(({ record }) => record), ...record.curve].flatMap(({ valence, arousal }) => [valence, arousal]);
  const zoom = zoomOf([...points, ...(record.valence_interval ?? []), ...(record.arousal_interval ?? [])]);
  all.forEach(number);
  const places = make("div", { class: "m2e-places" }, plane(all, all.indexOf(track), zoom));
  const named = { class: "m2e-card m2e-track", "aria-label": track.name };
  const compared = { class: "m2e-card m2e-compare", "aria-label": "Plane and numbers" };
  $("result").replaceChildren(
    make("section", named, head(track), ...warnings(record), timeline(track, zoom)),
    make("section", compared, places, facts(record), ...attributes(record)),
  );
  shownAnew();
}

// The number of a track on the plane, in its colour, where there are several.
function number(track, index, all) {
  track.button.querySelector(".m2e-badge")?.remove();
  if (all.length === 1) return;
  const badge = { class: "m2e-badge", style: tintStyle(track.record), "aria-hidden": true };
  track.button.prepend(make("span", badge, index + 1));
}

function head({ name, record }) {
  const signs = Object.entries(SIGNS).map(([sign, d]) => make("path", { class: `m2e-sign-${sign}`, d }));
  const play = make("svg", { viewBox: "0 0 24 24", "aria-hidden": true }, ...signs);
  const words = make("div", {}, make("h2", {}, headline(record)), make("p", { class: "m2e-about" }, `${name} · ${clock(record.duration)}`));
  return make("div", { class: "m2e-head" }, make("button", { type: "button", class: "m2e-play", "aria-label": "Play" }, play), words);
}

attach(
  $("result"),
  (_, { show }) => show !== undefined && choose(known()[show]),
  (_, begin) => (shownAnew = begin),
);
$("files").addEventListener("change", () => {
  for (const file of $("files").files) add(file);
  $("files").value = "";
});
$("examples").addEventListener("click", async ({ target: { dataset } }) => {
  if (dataset.clip) add(new File([await (await fetch(`examples/${dataset.clip}`)).blob()], dataset.clip));
});
for (const [event, over] of [["dragover", true], ["dragleave", false], ["drop", false]])
  addEventListener(event, (dragged) => {
    dragged.preventDefault();
    $("drop").classList.toggle("over", over);
    if (event === "drop") for (const file of dragged.dataTransfer.files) add(file);
  });
const dark = matchMedia("(prefers-color-scheme: dark)");
const theme = () => document.body.classList.toggle("dark", dark.matches);
dark.addEventListener("change", theme);
theme();
if ("serviceWorker" in navigator) navigator.serviceWorker.register("sw.js");

window.m2e = { tracks }; // for tests and the curious
