// The page that tries a clearsight model: images in, calibrated probabilities out, on this device.
import * as ort from "./ort.wasm.min.mjs";
import { fitImage } from "./fit.js";

const TOP = 5;
const MOST_PIXELS = 64e6; // as clearsight's own reader
const $ = (name) => document.getElementById(name);
const percent = (fraction) => `${(100 * fraction).toFixed(1)}\u00a0%`;
const answers = []; // {file, probabilities, unlike, pixels}, the newest first
let about, session;

async function start() {
  try {
    const response = await fetch("about.json");
    if (!response.ok) throw new Error(`about.json: status ${response.status}`);
    about = await response.json();
    ort.env.wasm.numThreads = 1; // more need headers that a static host rarely sends
    session = await ort.InferenceSession.create("model.onnx", { executionProviders: ["wasm"] });
  } catch (error) {
    $("about").textContent = `The model can't be loaded (${error.message}). Serve this folder over HTTP, for instance with: python -m http.server`;
    return;
  }
  const { size, fit } = about.input;
  const accuracy = about.measured?.accuracy;
  $("about").textContent =
    `It tells ${about.classes.length} classes apart, in images fitted to ${size} × ${size} px (${fit}).` +
    (accuracy ? ` Measured accuracy: ${percent(accuracy.value)} (95\u00a0% interval ${percent(accuracy.low)} to ${percent(accuracy.high)}) on ${about.measured.n.toLocaleString("en")} ${about.measured.split} images.` : "");
  $("classes").textContent = about.classes.join(", ");
  const promises = about.calibration?.sure ?? [];
  if (promises.length) {
    $("sure").append(new Option("every image", ""));
    for (const [k, { accuracy }] of promises.entries()) $("sure").append(new Option(`where ${percent(accuracy)} are right`, k));
    $("sure-label").hidden = false;
  }
  $("files").disabled = false;
}

// The upright pixels of a picture file on white, as clearsight reads it.
async function decoded(file) {
  const picture = await createImageBitmap(file, { colorSpaceConversion: "none", imageOrientation: "from-image" });
  const { width, height } = picture;
  if (width * height > MOST_PIXELS) throw new Error("more than 64 megapixels");
  const canvas = new OffscreenCanvas(width, height);
  const pen = canvas.getContext("2d", { willReadFrequently: true });
  pen.fillStyle = "#fff";
  pen.fillRect(0, 0, width, height);
  pen.drawImage(picture, 0, 0);
  picture.close();
  const { data } = pen.getImageData(0, 0, width, height);
  const pixels = new Uint8Array(3 * width * height);
  for (let i = 0, j = 0; i < data.length; i += 4) {
    pixels[j++] = data[i];
    pixels[j++] = data[i + 1];
    pixels[j++] = data[i + 2];
  }
  return { pixels, width, height };
}

async function answer(file) {
  const { size, fit } = about.input;
  const pixels = fitImage(await decoded(file), size, fit);
  const found = await session.run({ images: new ort.Tensor("uint8", pixels, [1, size, size, 3]) });
  return { file: file.name, pixels, probabilities: [...found.probabilities.data], unlike: found.unlike?.data[0] };
}

async function take(files) {
  const pictures = [...files];
  const failed = [];
  for (const [k, file] of pictures.entries()) {
    $("status").textContent = `${k + 1} of ${pictures.length} …`;
    try {
      answers.unshift(await answer(file));
    } catch (error) {
      failed.push(`${file.name}: not an image this browser can read (${error.message})`);
    }
  }
  draw();
  $("status").textContent = failed.length ? failed.join("; ") : `${pictures.length} image${pictures.length === 1 ? "" : "s"} classified`;
}

// What is said of an answer: {label} or {reason}, and whether it is unlike the training images.
function verdict({ probabilities, unlike }) {
  const best = probabilities.indexOf(Math.max(...probabilities));
  const { calibration } = about;
  const promise = $("sure").value === "" ? null : calibration.sure[$("sure").value];
  return {
    label: about.classes[best],
    probability: probabilities[best],
    unsure: promise !== null && !(probabilities[best] > promise.probability),
    unlike: calibration?.unlike !== undefined && unlike > calibration.unlike.threshold,
  };
}

function draw() {
  $("controls").hidden = !answers.length;
  $("answers").replaceChildren(...answers.map(card));
}

function element(name, className, text) {
  return Object.assign(document.createElement(name), { className, textContent: text });
}

function card(one) {
  const { size } = about.input;
  const said = verdict(one);
  const item = document.createElement("li");
  const canvas = Object.assign(document.createElement("canvas"), { width: size, height: size });
  canvas.setAttribute("role", "img");
  canvas.setAttribute("aria-label", `${one.file} as the model sees it`);
  const seen = new ImageData(size, size);
  for (let i = 0, j = 0; j < one.pixels.length; i += 4, j += 3) {
    seen.data.set(one.pixels.subarray(j, j + 3), i);
    seen.data[i + 3] = 255;
  }
  canvas.getContext("2d").putImageData(seen, 0, 0);
  const body = element("div", "body", "");
  body.append(element("h2", "", said.unsure ? "unsure" : said.label), element("p", "file", one.file));
  if (said.unlike) body.append(element("p", "warn", "unlike the training images"));
  const table = document.createElement("table");
  const order = one.probabilities.map((p, k) => [p, k]).sort((a, b) => b[0] - a[0]);
  for (const [p, k] of order.slice(0, TOP)) {
    const row = table.insertRow();
    row.append(Object.assign(element("th", "", about.classes[k]), { scope: "row" }));
    const bar = element("i", "filled", "");
    bar.style.width = `${Math.max(1, 100 * p)}%`;
    row.insertCell().append(bar);
    row.append(element("td", "n", percent(p)));
  }
  body.append(table);
  item.append(canvas, body);
  return item;
}

function download() {
  // A cell that begins like a formula would be computed by a spreadsheet.
  const quoted = (text) => `"${String(text).replace(/^([=+@\t\r]|-(?![\d.]))/, "'$1").replaceAll('"', '""')}"`;
  const head = ["file", "label", "probability", "unsure", "unlike", ...about.classes];
  const rows = [...answers].reverse().map((one) => {
    const said = verdict(one);
    return [one.file, said.label, said.probability, said.unsure, said.unlike, ...one.probabilities];
  });
  const text = [head, ...rows].map((row) => row.map(quoted).join(",")).join("\r\n") + "\r\n";
  const link = Object.assign(document.createElement("a"), { href: URL.createObjectURL(new Blob([text], { type: "text/csv" })), download: "answers.csv" });
  link.click();
  URL.revokeObjectURL(link.href);
}

$("files").addEventListener("change", async () => {
  await take($("files").files);
  $("files").value = "";
});
$("sure").addEventListener("change", draw);
$("csv").addEventListener("click", download);
$("clear").addEventListener("click", () => {
  answers.length = 0;
  $("status").textContent = "";
  draw();
});
addEventListener("dragover", (event) => {
  event.preventDefault();
  $("drop").classList.add("over");
});
addEventListener("dragleave", () => $("drop").classList.remove("over"));
addEventListener("drop", (event) => {
  event.preventDefault();
  $("drop").classList.remove("over");
  if (session) take(event.dataTransfer.files);
});
addEventListener("paste", (event) => {
  if (session && event.clipboardData.files.length) take(event.clipboardData.files);
});
start();
