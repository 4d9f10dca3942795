// Computes the records of tracks, away from the page: {id, waveform} in, {id, share}, {id, record} or {id, error} out.
import * as ort from "./vendor/ort.wasm.min.mjs";
import { analyze } from "./emotion.js";

ort.env.wasm.wasmPaths = new URL("./vendor/", import.meta.url).href;
ort.env.wasm.numThreads = self.crossOriginIsolated ? navigator.hardwareConcurrency : 1;
ort.env.logLevel = "error";

const TYPES = { BigInt64Array: "int64", Float32Array: "float32", Uint8Array: "bool" };
const loading = load();

async function load() {
  const model = await (await fetch("model/model.json")).json();
  const sessions = {};
  for (const name of Object.keys(model.graphs)) sessions[name] = await ort.InferenceSession.create(`model/${name}.onnx`);
  return { model, sessions };
}

async function run(sessions, graph, inputs) {
  const feeds = {};
  for (const [name, [values, shape]] of Object.entries(inputs))
    feeds[name] = new ort.Tensor(TYPES[values.constructor.name], values, shape);
  return sessions[graph].run(feeds);
}

let last = Promise.resolve(); // one track after another
self.onmessage = ({ data: { id, waveform } }) => {
  last = last.then(async () => {
    try {
      const { model, sessions } = await loading;
      const tell = (share) => self.postMessage({ id, share });
      const record = await analyze(waveform, model, (graph, inputs) => run(sessions, graph, inputs), tell);
      self.postMessage({ id, record });
    } catch (error) {
      self.postMessage({ id, error: String(error.message ?? error) });
    }
  });
};
