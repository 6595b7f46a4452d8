// What the library that lies beside the page answers, asked by `export --to web`:
//   node answer.mjs FOLDER PIXELS ANSWERS N SIZE
// PIXELS: uint8 [N, SIZE, SIZE, 3]; each output goes into the file ANSWERS.NAME, as float32.
import { readFileSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { pathToFileURL } from "node:url";

const [folder, pixels, answers, n, size] = process.argv.slice(2);
const ort = await import(pathToFileURL(resolve(join(folder, "ort.wasm.min.mjs"))).href);
ort.env.wasm.numThreads = 1; // as on a page without cross-origin isolation
const session = await ort.InferenceSession.create(readFileSync(join(folder, "model.onnx")));
const images = new ort.Tensor("uint8", new Uint8Array(readFileSync(pixels)), [+n, +size, +size, 3]);
const found = await session.run({ images });
for (const name of session.outputNames) {
  const { data } = found[name];
  writeFileSync(`${answers}.${name}`, Buffer.from(data.buffer, data.byteOffset, data.byteLength));
}
