// Builds the page: node build.mjs MODEL OUT. MODEL holds the folder `onnx` that `m2e export` writes; OUT is replaced.
// Needs `npm ci` in this folder before.
import { createHash } from "node:crypto";
import { cpSync, existsSync, mkdirSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { dirname, join, relative } from "node:path";
import { fileURLToPath } from "node:url";

const here = dirname(fileURLToPath(import.meta.url));
const space = join(here, "..", "m2e", "space"); // its style and its player are those of this page
const examples = join(here, "..", "examples");
const runtime = join(here, "node_modules", "onnxruntime-web");
const RUNTIME = ["ort.wasm.min.mjs", "ort-wasm-simd-threaded.mjs", "ort-wasm-simd-threaded.wasm"];
const FOR_GPUS = ["ort.webgpu.min.mjs", "ort-wasm-simd-threaded.asyncify.mjs", "ort-wasm-simd-threaded.asyncify.wasm"];

function fail(sentence) {
  console.error(`build: ${sentence}`);
  process.exit(2);
}

const [model, out] = process.argv.slice(2);
if (!out) fail("give MODEL and OUT.");
const graphs = join(model, "onnx");
if (!existsSync(join(graphs, "model.json"))) fail(`${graphs} has no model.json: write it with m2e export.`);
if (!existsSync(runtime)) fail("onnxruntime-web is not installed: run npm ci in space-static.");

rmSync(out, { recursive: true, force: true });
cpSync(join(here, "src"), out, { recursive: true });
cpSync(join(space, "style.css"), join(out, "space.css"));
// Gradio makes a function of the script, too
const script = readFileSync(join(space, "results.js"), "utf8");
writeFileSync(join(out, "results.js"), `export default function (element, trigger, watch) {\n${script}}\n`);
const page = readFileSync(join(out, "index.html"), "utf8");
for (const [, clip] of page.matchAll(/data-clip="(.+?)"/g)) cpSync(join(examples, clip), join(out, "examples", clip));
mkdirSync(join(out, "vendor"));
for (const name of [...RUNTIME, ...FOR_GPUS]) cpSync(join(runtime, "dist", name), join(out, "vendor", name));
mkdirSync(join(out, "model"));
const described = JSON.parse(readFileSync(join(graphs, "model.json"), "utf8"));
if (described.chords && (described.chords.decoding !== "smooth" || described.key.profile !== "pop909"))
  fail(`${graphs} decodes chords as the paper does, which the page cannot: give another model.`);
cpSync(join(graphs, "model.json"), join(out, "model", "model.json"));
for (const name of Object.keys(described.graphs))
  cpSync(join(graphs, `${name}_fp16.onnx`), join(out, "model", `${name}.onnx`));

const files = readdirSync(out, { recursive: true })
  .filter((name) => statSync(join(out, name)).isFile() && name !== "sw.js")
  .map((name) => relative(".", name).replaceAll("\\", "/"))
  .sort();
const hash = createHash("sha256");
for (const name of files) hash.update(readFileSync(join(out, name)));
const kept = files.filter((name) => !FOR_GPUS.includes(name.replace("vendor/", "")));
const worker = readFileSync(join(out, "sw.js"), "utf8")
  .replace("__VERSION__", hash.digest("hex").slice(0, 16))
  .replace('["__FILES__"]', JSON.stringify(["./", ...kept]));
writeFileSync(join(out, "sw.js"), worker);
const size = (names) => (names.reduce((sum, name) => sum + statSync(join(out, name)).size, 0) / 1e6).toFixed(1);
console.log(`${files.length + 1} files, ${size(files)} MB in ${out}; without a GPU a visitor loads ${size(kept)} MB`);
