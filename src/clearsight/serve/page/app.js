// The page of `clearsight serve`: images in, what the service says of them out.
const TOP = 5;
const AT_ONCE = 4; // requests
const TRIES = 8; // where the service is busy
const $ = (name) => document.getElementById(name);
const percent = (fraction) => `${(100 * fraction).toFixed(1)}\u00a0%`;
const answers = []; // {file, content, probabilities, unlike, picture, card, note}, the newest first
let about;
let token = sessionStorage.getItem("token");

class Refused extends Error {
  constructor(status, detail) {
    super(detail);
    this.status = status;
  }
}

// Asks the service; waits where it is busy. Throws `Refused` with the reason it gives.
async function ask(path, options = {}) {
  const headers = token ? { Authorization: `Bearer ${token}` } : {};
  for (let tries = 1; ; tries++) {
    const response = await fetch(path, { ...options, headers });
    if (response.ok) return response;
    if (response.status === 503 && tries < TRIES) {
      const seconds = Number(response.headers.get("Retry-After")) || 1;
      await new Promise((done) => setTimeout(done, 1000 * seconds * (0.5 + Math.random())));
      continue;
    }
    const { detail } = await response.json().catch(() => ({ detail: `status ${response.status}` }));
    throw new Refused(response.status, detail);
  }
}

async function start() {
  try {
    about = await (await ask("v1/model")).json();
  } catch (error) {
    $("login").hidden = error.status !== 401;
    $("about").textContent = error.status !== 401 ? `The service does not answer (${error.message}).` : token ? "That is not the token of this service." : "This service asks for a token.";
    if (error.status === 401) $("token").focus();
    return;
  }
  $("login").hidden = true;
  const { size, fit } = about.input;
  const accuracy = about.measured?.accuracy;
  $("about").textContent =
    `It tells ${about.classes.length} classes apart, in images fitted to ${size} × ${size} px (${fit}).` +
    (accuracy ? ` Measured accuracy: ${percent(accuracy.value)} (95\u00a0% interval ${percent(accuracy.low)} to ${percent(accuracy.high)}) on ${about.measured.n.toLocaleString("en")} ${about.measured.split} images.` : "");
  $("classes").textContent = about.classes.join(", ");
  const promises = about.calibration?.sure ?? [];
  if (promises.length) {
    $("sure").replaceChildren(new Option("every image", ""));
    for (const [k, { accuracy }] of promises.entries()) $("sure").append(new Option(`where ${percent(accuracy)} are right`, k));
    $("sure-label").hidden = false;
  }
  $("files").disabled = false;
  offer().catch(() => {}); // the page is of use without them
  const devices = await navigator.mediaDevices?.enumerateDevices().catch(() => []);
  $("camera").hidden = !devices?.some((device) => device.kind === "videoinput");
}

// Images that the service offers, each a button.
async function offer() {
  const samples = await (await ask("v1/samples")).json();
  $("samples").replaceChildren(
    ...samples.map(({ file, picture }, k) => {
      const button = Object.assign(element("button", ""), { type: "button" });
      button.append(Object.assign(new Image(), { src: picture, alt: `try ${file}` }));
      button.addEventListener("click", async () => {
        try {
          const content = await (await ask(`v1/samples/${k}`)).blob();
          await take([new File([content], file)]);
        } catch (error) {
          $("status").textContent = `${file}: ${error.message}`;
        }
      });
      const item = document.createElement("li");
      item.append(button);
      return item;
    }),
  );
  $("samples").hidden = !samples.length;
}

function form(file) {
  const data = new FormData();
  data.append("files", file, file.name || "image");
  return data;
}

async function answer(file) {
  const response = await ask("v1/predict?picture=true", { method: "POST", body: form(file) });
  const [found] = (await response.json()).predictions;
  const probabilities = about.classes.map((name) => found.probabilities[name]);
  return { file: file.name || "image", content: file, probabilities, unlike: found.unlike, picture: found.picture, note: "" };
}

async function take(files) {
  const pictures = [...files];
  const found = []; // by the place of the file: its answer, or what was wrong
  const failed = [];
  let [asked, shown] = [0, 0];
  const show = (one) => {
    if (typeof one === "string") return failed.push(one);
    answers.unshift(one);
    $("answers").prepend(card(one));
  };
  const work = async () => {
    while (asked < pictures.length) {
      const k = asked++;
      const file = pictures[k];
      $("status").textContent = `${k + 1} of ${pictures.length} …`;
      found[k] = await answer(file).catch(({ message }) => `${file.name || "image"}: ${message.replace(`${file.name}: `, "")}`);
      while (shown in found) show(found[shown++]); // in the order of the files
    }
  };
  await Promise.all(Array.from({ length: AT_ONCE }, work));
  $("controls").hidden = !answers.length;
  $("status").textContent = failed.length ? failed.join("; ") : `${pictures.length} image${pictures.length === 1 ? "" : "s"} classified`;
}

// What is said of an answer under the promise that is chosen.
function verdict({ probabilities, unlike }) {
  const best = probabilities.indexOf(Math.max(...probabilities));
  const promise = $("sure").value === "" ? null : about.calibration.sure[$("sure").value];
  return {
    label: about.classes[best],
    probability: probabilities[best],
    unsure: promise !== null && !(probabilities[best] > promise.probability),
    unlike: about.calibration?.unlike !== undefined && unlike > about.calibration.unlike.threshold,
  };
}

function element(name, className, text = "") {
  return Object.assign(document.createElement(name), { className, textContent: text });
}

function labelled(text, control) {
  const label = element("label", "", `${text} `);
  label.append(control);
  return label;
}

function card(one) {
  const item = document.createElement("li");
  const figure = document.createElement("figure");
  const layer = Object.assign(new Image(), { className: "heat", alt: "", hidden: true });
  figure.append(Object.assign(new Image(), { src: one.picture, alt: `${one.file} as the model sees it` }), layer);
  const body = element("div", "body");
  const title = element("h2", "");
  body.append(title, element("p", "file", one.file));
  if (verdict(one).unlike) body.append(element("p", "warn", "unlike the training images"));
  const order = one.probabilities.map((p, k) => [p, k]).sort((a, b) => b[0] - a[0]);
  const table = document.createElement("table");
  for (const [p, k] of order.slice(0, TOP)) {
    const row = table.insertRow();
    row.append(Object.assign(element("th", "", about.classes[k]), { scope: "row" }));
    const bar = element("i", "filled");
    bar.style.width = `${Math.max(1, 100 * p)}%`;
    row.insertCell().append(bar);
    row.append(element("td", "n", percent(p)));
  }
  const names = order.map(([, k]) => about.classes[k]);
  const tools = element("div", "tools");
  const target = element("select", "target");
  target.append(new Option("off", ""), ...names.map((name) => new Option(name, `=${name}`)));
  target.addEventListener("change", () => one.explain());
  tools.append(labelled("Heatmap for", target));
  if (about.keeps) tools.append(...correction(one, names));
  body.append(table, tools);
  item.append(figure, body);
  one.say = () => (title.textContent = verdict(one).unsure ? "unsure" : verdict(one).label);
  one.explain = () => explain(one, target.value.slice(1), layer, target.value !== "");
  one.say();
  return item;
}

// Fills the choice of methods when the first heatmap is asked for: then the service loads torch.
let known;
function methods() {
  known ??= ask("v1/methods")
    .then((response) => response.json())
    .then((found) => {
      $("method").replaceChildren(...Object.entries(found).map(([name, title]) => new Option(title, name)));
      $("method-label").hidden = $("opacity-label").hidden = false;
    })
    .catch((error) => {
      known = undefined;
      throw error;
    });
  return known;
}

async function explain(one, target, layer, wanted) {
  const asked = (one.asked = {}); // the latest wins
  layer.hidden = true;
  if (!wanted) return;
  $("status").textContent = "Heatmap …";
  try {
    await methods();
    const query = new URLSearchParams({ class: target, method: $("method").value, form: "layer" });
    const response = await ask(`v1/explain?${query}`, { method: "POST", body: form(one.content) });
    const address = URL.createObjectURL(await response.blob());
    if (one.asked !== asked) return;
    if (layer.src) URL.revokeObjectURL(layer.src);
    layer.src = address;
    layer.style.opacity = $("opacity").value / 100;
    layer.alt = `heatmap: where ${$("method").value} finds ${target}`;
    layer.hidden = false;
    $("status").textContent = `Heatmap for ${target} of ${one.file}`;
  } catch (error) {
    $("status").textContent = `${one.file}: ${error.message}`;
  }
}

// A button for a wrong answer, and the choice of the right label that it opens.
function correction(one, names) {
  const open = Object.assign(element("button", "", "Wrong"), { type: "button" });
  open.setAttribute("aria-expanded", "false");
  const box = Object.assign(element("span", "wrong"), { hidden: true });
  const right = document.createElement("select");
  right.append(...names.slice(1).map((name) => new Option(name, name)));
  const send = Object.assign(element("button", "", "Keep"), { type: "button" });
  box.append(labelled("It is", right), " ", send);
  open.addEventListener("click", () => {
    box.hidden = !box.hidden;
    open.setAttribute("aria-expanded", String(!box.hidden));
  });
  send.addEventListener("click", async () => {
    try {
      const query = new URLSearchParams({ label: right.value });
      await ask(`v1/feedback?${query}`, { method: "POST", body: form(one.content) });
      one.note = right.value;
      $("status").textContent = `${one.file}: kept as ${right.value}`;
      open.click();
      open.focus();
    } catch (error) {
      $("status").textContent = `${one.file}: not kept (${error.message})`;
    }
  });
  return [open, box];
}

function download() {
  // A cell that begins like a formula would be computed by a spreadsheet.
  const quoted = (text) => `"${String(text).replace(/^([=+@\t\r]|-(?![\d.]))/, "'$1").replaceAll('"', '""')}"`;
  const head = ["file", "label", "probability", "unsure", "unlike", "corrected", ...about.classes];
  const rows = [...answers].reverse().map((one) => {
    const said = verdict(one);
    return [one.file, said.label, said.probability, said.unsure, said.unlike, one.note, ...one.probabilities];
  });
  const text = [head, ...rows].map((row) => row.map(quoted).join(",")).join("\r\n") + "\r\n";
  const link = Object.assign(document.createElement("a"), { href: URL.createObjectURL(new Blob([text], { type: "text/csv" })), download: "answers.csv" });
  link.click();
  URL.revokeObjectURL(link.href);
}

function stop() {
  for (const track of $("video").srcObject?.getTracks() ?? []) track.stop();
  $("video").srcObject = null;
}

$("login").addEventListener("submit", (event) => {
  event.preventDefault();
  token = $("token").value.trim();
  sessionStorage.setItem("token", token);
  start();
});
$("files").addEventListener("change", async () => {
  await take($("files").files);
  $("files").value = "";
});
$("sure").addEventListener("change", () => answers.forEach((one) => one.say()));
$("method").addEventListener("change", () => answers.forEach((one) => one.explain()));
$("opacity").addEventListener("input", () => {
  for (const layer of document.querySelectorAll("img.heat")) layer.style.opacity = $("opacity").value / 100;
});
$("csv").addEventListener("click", download);
$("clear").addEventListener("click", () => {
  answers.length = 0;
  $("answers").replaceChildren();
  $("controls").hidden = true;
  $("status").textContent = "";
  $("files").focus();
});
$("card").addEventListener("toggle", async () => {
  if (!$("card").open || $("card-text").textContent) return;
  const text = await (await ask("v1/card")).text();
  $("card-text").textContent = text.replace(/^---\n.*?\n---\n+/s, "");
});
$("camera").addEventListener("click", async () => {
  try {
    $("video").srcObject = await navigator.mediaDevices.getUserMedia({ video: { facingMode: "environment" } });
    $("shooting").showModal();
  } catch (error) {
    $("status").textContent = `The camera can't be used (${error.message}).`;
  }
});
$("shoot").addEventListener("click", async () => {
  const video = $("video");
  const canvas = new OffscreenCanvas(video.videoWidth, video.videoHeight);
  canvas.getContext("2d").drawImage(video, 0, 0);
  const blob = await canvas.convertToBlob({ type: "image/png" });
  $("shooting").close();
  await take([new File([blob], `camera-${answers.length + 1}.png`, { type: "image/png" })]);
});
$("stop").addEventListener("click", () => $("shooting").close());
$("shooting").addEventListener("close", stop);
addEventListener("dragover", (event) => {
  event.preventDefault();
  $("drop").classList.add("over");
});
addEventListener("dragleave", () => $("drop").classList.remove("over"));
addEventListener("drop", (event) => {
  event.preventDefault();
  $("drop").classList.remove("over");
  if (!$("files").disabled) take(event.dataTransfer.files);
});
addEventListener("paste", (event) => {
  if (!$("files").disabled && event.clipboardData.files.length) take(event.clipboardData.files);
});
start();
