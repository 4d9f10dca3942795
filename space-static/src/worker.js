// Computes the records of tracks, away from the page: {id, waveform} in, {id, share}, {id, record} or {id, error} out.
import { analyze } from "./emotion.js";

const TYPES = { BigInt64Array: "int64", Float32Array: "float32", Uint8Array: "bool" };
const loading = load();

async function load() {
  const model = await (await fetch("model/model.json")).json();
  const names = Object.keys(model.graphs);
  const gpu = await navigator.gpu?.requestAdapter().catch(() => null);
  const loaded = (gpu && (await started("webgpu", names).catch(() => null))) || (await started("wasm", names));
  return { model, ...loaded };
}

// The runtime and a session for each graph: all on the GPU ("webgpu"), or all on the CPU ("wasm").
async function started(provider, names) {
  const ort = await import(`./vendor/ort.${provider}.min.mjs`);
  ort.env.wasm.wasmPaths = new URL("./vendor/", import.meta.url).href;
  ort.env.wasm.numThreads = self.crossOriginIsolated ? navigator.hardwareConcurrency : 1;
  ort.env.logLevel = "error";
  const sessions = {};
  for (const name of names)
    sessions[name] = await ort.InferenceSession.create(`model/${name}.onnx`, { executionProviders: [provider] });
  return { provider, ort, sessions };
}

async function run({ ort, sessions }, graph, inputs) {
  const feeds = {};
  for (const [name, [values, shape]] of Object.entries(inputs))
    feeds[name] = new ort.Tensor(TYPES[values.constructor.name], values, shape);
  return sessions[graph].run(feeds);
}

let last = Promise.resolve(); // one track after another
self.onmessage = ({ data: { id, waveform } }) => {
  last = last.then(async () => {
    try {
      const loaded = await loading;
      const tell = (share) => self.postMessage({ id, share });
      const record = await analyze(waveform, loaded.model, (graph, inputs) => run(loaded, graph, inputs), tell);
      self.postMessage({ id, record, provider: loaded.provider });
    } catch (error) {
      self.postMessage({ id, error: String(error.message ?? error) });
    }
  });
};
