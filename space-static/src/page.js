// The page: takes files, decodes them, has a worker predict, and shows the record of the chosen track.
import { drawCurve, drawPlane } from "./charts.js";

const $ = (id) => document.getElementById(id);
const WORDS = { Q1: "Happy, energetic", Q2: "Tense, angry", Q3: "Sad", Q4: "Calm" };
const MOODS = 8;
const tracks = []; // {name, url, record, provider, error, button}, in the order in which they came
let [chosen, moveCursor] = [null, () => {}];

const model = fetch("model/model.json").then((answer) => answer.json());
const worker = new Worker("worker.js", { type: "module" });
worker.onmessage = ({ data: { id, share, record, provider, error } }) => {
  const track = tracks[id];
  if (share !== undefined) return tell(track, `${Math.round(100 * share)} %`);
  Object.assign(track, { record, provider, error });
  tell(track, record ? sentence(record) : `failed: ${error}`);
  if (record) choose(chosen?.record ? chosen : track);
};

const tell = (track, state) => (track.button.querySelector(".state").textContent = state);

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
  const button = document.createElement("button");
  for (const name of ["name", "state"]) button.append(Object.assign(document.createElement("span"), { className: name }));
  button.querySelector(".name").textContent = file.name;
  const track = { name: file.name, url: URL.createObjectURL(file), button };
  tracks.push(track);
  button.addEventListener("click", () => track.record && choose(track));
  const row = document.createElement("li");
  row.append(button);
  $("tracks").append(row);
  tell(track, "reading");
  try {
    const waveform = await decoded(file, (await model).sampling_rate);
    if (waveform.length < 0.5 * (await model).sampling_rate) throw new Error("shorter than 0.5 s");
    tell(track, "waiting");
    worker.postMessage({ id, waveform }, [waveform.buffer]);
  } catch (error) {
    tell(track, `failed: ${error.message}`);
  }
}

const sentence = ({ quadrant, key }) => WORDS[quadrant] + (key ? `, in ${key.tonic} ${key.mode}` : "");

async function choose(track) {
  const { valence_arousal: scale } = await model;
  chosen = track;
  for (const each of tracks) each.button.setAttribute("aria-pressed", each === track);
  const { record } = track;
  $("result").hidden = false;
  $("sentence").textContent = sentence(record);
  $("numbers").textContent = `Valence ${record.valence.toFixed(2)}, arousal ${record.arousal.toFixed(2)}, of 1 to 9.`;
  if ($("player").src !== track.url) $("player").src = track.url;
  const known = tracks.filter((each) => each.record).map((each) => ({ ...each, chosen: each === track }));
  drawPlane($("plane"), known, scale);
  moveCursor = drawCurve($("curve"), record, scale.scale);
  $("moods").replaceChildren(...record.moods.slice(0, MOODS).map(mood));
  follow(0);
}

function mood({ label, score }) {
  const row = document.createElement("li");
  const bar = Object.assign(document.createElement("progress"), { value: score });
  bar.setAttribute("aria-label", label);
  row.append(label, bar, `${Math.round(100 * score)} %`);
  return row;
}

function follow(second) {
  if (!chosen?.record) return;
  moveCursor(second);
  const { curve, chords } = chosen.record;
  const point = curve.find((p) => p.start <= second && second < p.end) ?? curve.at(-1);
  const chord = chords?.find((c) => c.start <= second && second < c.end);
  const shown = [`valence ${point.valence.toFixed(1)}`, `arousal ${point.arousal.toFixed(1)}`];
  if (chord && chord.label !== "N") shown.push(chord.label);
  $("readout").textContent = `Now: ${shown.join(", ")}.`;
}

$("player").addEventListener("timeupdate", () => follow($("player").currentTime));
$("files").addEventListener("change", () => {
  for (const file of $("files").files) add(file);
  $("files").value = "";
});
for (const [event, over] of [["dragover", true], ["dragleave", false], ["drop", false]])
  addEventListener(event, (dragged) => {
    dragged.preventDefault();
    $("drop").classList.toggle("over", over);
    if (event === "drop") for (const file of dragged.dataTransfer.files) add(file);
  });
if ("serviceWorker" in navigator) navigator.serviceWorker.register("sw.js");

window.m2e = { tracks }; // for tests and the curious
