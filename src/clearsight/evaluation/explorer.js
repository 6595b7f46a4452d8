// The explorer of a clearsight report: what explorer.json says, to be filtered, sorted and opened.
(() => {
  const root = document.getElementById("explorer");
  const data = JSON.parse(document.getElementById("explorer-data").textContent);
  const { classes, images, columns, neighbours, map } = data;
  const count = images.label.length;
  const scores = images.scores;
  const PAGE = 120;
  const $ = (name) => document.getElementById(`explorer-${name}`);
  const percent = (fraction) => `${(100 * fraction).toFixed(1)}\u00a0%`;
  const number = (value) => value.toLocaleString("en");
  const predicted = images.top.map((top) => top[0]);
  const confidence = images.probability.map((row) => row[0]);
  const fileOf = (i) => images.file[i] || images.id[i].slice(0, 12);

  // --- what is shown -----------------------------------------------------------------------
  const all = Array.from({ length: count }, (_, i) => i);
  let brushed = null; // indices inside the brush of the map
  let found = all;
  let pages = 1;

  const kinds = {
    mistakes: (i) => predicted[i] !== images.label[i],
    right: (i) => predicted[i] === images.label[i],
    all: () => true,
  };
  for (const name of ["unsure", "unlike", "doubted"])
    if (scores[name]?.includes(1)) kinds[name] = (i) => scores[name][i] === 1;

  const orders = {
    surest: (i) => -confidence[i],
    unsurest: (i) => confidence[i],
    doubt: (i) => scores.label[i],
  };
  if (scores.unlikeness) orders.unlikeness = (i) => -scores.unlikeness[i];

  const slices = data.slices.flatMap((by) => by.images.map((words, k) => ({ by, k, words })));
  const chosenSlice = () => slices[$("slice").value];

  function filter() {
    const [t, p] = [$("true").value, $("predicted").value];
    const [kind, slice] = [kinds[$("kind").value], chosenSlice()];
    found = all.filter(
      (i) =>
        kind(i) &&
        (t === "" || images.label[i] === +t) &&
        (p === "" || predicted[i] === +p) &&
        (!slice || slice.by.of[i] === slice.k) &&
        (!brushed || brushed.has(i)),
    );
    const key = orders[$("order").value];
    found.sort((a, b) => key(a) - key(b) || a - b);
    pages = 1;
    draw();
  }

  function draw() {
    const shown = found.slice(0, PAGE * pages);
    const tiles = $("tiles");
    tiles.replaceChildren(...shown.map(tile));
    rove(tiles);
    $("more").hidden = shown.length === found.length;
    const [t, p] = [$("true").value, $("predicted").value];
    let text = `${number(found.length)} picture${found.length === 1 ? "" : "s"}`;
    const slice = chosenSlice();
    if (t !== "" && p !== "" && data.confusion && !brushed && !slice) {
      const measured = data.confusion[t][p];
      text += ` of ${number(measured)} image${measured === 1 ? "" : "s"} of ${classes[t]}`;
      text += t === p ? " predicted rightly" : ` predicted as ${classes[p]}`;
    }
    if (brushed) text += " inside the selection on the map";
    if (slice) {
      const [n, right] = [slice.by.n[slice.k], slice.by.right[slice.k]];
      text += `; ${slice.words}: ${number(n)} image${n === 1 ? "" : "s"}, ${percent(right / n)} right`;
    }
    $("count").textContent = text;
    for (const cell of $("matrix") ? $("matrix").querySelectorAll("button") : [])
      cell.setAttribute("aria-pressed", cell.dataset.t === t && cell.dataset.p === p);
  }

  function sprite(kind, index) {
    const element = document.createElement("i");
    element.className = kind;
    element.style.setProperty("--x", index % columns);
    element.style.setProperty("--y", Math.floor(index / columns));
    return element;
  }

  function picture(i) {
    const frame = document.createElement("span");
    frame.className = "picture";
    frame.append(sprite("pictures", i));
    if (data.heatmaps) frame.append(sprite("heatmaps", i));
    return frame;
  }

  function tile(i) {
    const item = document.createElement("li");
    const button = document.createElement("button");
    const wrong = predicted[i] !== images.label[i];
    button.type = "button";
    button.dataset.i = i;
    button.className = wrong ? "tile wrong" : "tile";
    const words = `${classes[predicted[i]]} ${percent(confidence[i])}`;
    button.setAttribute(
      "aria-label",
      `${fileOf(i)}: predicted ${words}, labelled ${classes[images.label[i]]}`,
    );
    const text = document.createElement("span");
    text.className = "words";
    text.append(Object.assign(document.createElement("b"), { textContent: classes[predicted[i]] }));
    text.append(` ${percent(confidence[i])}`);
    if (wrong) text.append(Object.assign(document.createElement("em"), { textContent: classes[images.label[i]] }));
    button.append(picture(i), text);
    item.append(button);
    return item;
  }

  // --- arrow keys move among buttons of which one can be reached by Tab --------------------
  function rove(container) {
    const buttons = [...container.querySelectorAll("button")];
    buttons.forEach((button, i) => (button.tabIndex = i ? -1 : 0));
  }

  function step(event, container) {
    const moves = { ArrowRight: [1, 0], ArrowLeft: [-1, 0], ArrowDown: [0, 1], ArrowUp: [0, -1] };
    const move = moves[event.key];
    const current = event.target.closest("button");
    if (!move || !current) return;
    const buttons = [...container.querySelectorAll("button")];
    const here = buttons.indexOf(current);
    const box = current.getBoundingClientRect();
    let next = buttons[here + move[0]];
    if (move[1]) {
      const column = buttons.filter(
        (b) => Math.abs(b.getBoundingClientRect().left - box.left) < box.width / 2,
      );
      next = column[column.indexOf(current) + move[1]];
    }
    if (!next) return;
    event.preventDefault();
    current.tabIndex = -1;
    next.tabIndex = 0;
    next.focus();
  }

  // --- one image -----------------------------------------------------------------------------
  const dialog = $("detail");
  let open = 0; // its place in `found`

  function line(term, ...content) {
    const row = document.createElement("div");
    row.append(Object.assign(document.createElement("dt"), { textContent: term }));
    const value = document.createElement("dd");
    value.append(...content);
    row.append(value);
    return row;
  }

  function trainingImage(n) {
    const item = document.createElement("li");
    const frame = document.createElement("span");
    frame.className = "picture";
    frame.append(sprite("neighbours", n));
    const words = classes[neighbours.label[n]] + (neighbours.doubted[n] ? ", label in doubt" : "");
    item.append(frame, Object.assign(document.createElement("span"), { className: "words", textContent: words }));
    item.title = neighbours.file[n];
    return item;
  }

  function show(place) {
    open = Math.max(0, Math.min(found.length - 1, place));
    const i = found[open];
    const label = classes[images.label[i]];
    $("title").textContent = fileOf(i);
    const pictures = [Object.assign(document.createElement("span"), { className: "picture plain" })];
    pictures[0].append(sprite("pictures", i));
    if (data.heatmaps) {
      const frame = picture(i);
      frame.classList.add("heated");
      pictures.push(frame);
    }
    $("pictures").replaceChildren(...pictures);
    const bars = images.top[i].map((k, rank) => {
      const row = document.createElement("tr");
      const head = document.createElement("th");
      head.scope = "row";
      head.textContent = classes[k] + (k === images.label[i] ? " (its label)" : "");
      const bar = document.createElement("td");
      const filled = document.createElement("i");
      filled.className = "filled";
      filled.style.width = `${Math.max(0.5, 100 * images.probability[i][rank])}%`;
      bar.append(filled);
      const value = document.createElement("td");
      value.className = "n";
      value.textContent = percent(images.probability[i][rank]);
      row.append(head, bar, value);
      return row;
    });
    $("bars").replaceChildren(...bars);
    const doubt = `${percent(scores.label[i])} probable${scores.doubted[i] ? ", in doubt" : ""}`;
    const facts = [line("Label", `${label} (${doubt})`), line("Id", images.id[i])];
    if (scores.unsure) facts.push(line("Unsure", scores.unsure[i] ? "yes" : "no"));
    if (scores.unlikeness)
      facts.push(line("Unlikeness", `${scores.unlikeness[i]}${!scores.unlike ? "" : scores.unlike[i] ? ", above the threshold" : ", below the threshold"}`));
    $("facts").replaceChildren(...facts);
    $("neighbour-list").replaceChildren(...neighbours.indices[i].map(trainingImage));
    const duplicate = neighbours.duplicate[i];
    $("duplicate").hidden = duplicate < 0;
    $("duplicate-list").replaceChildren(...(duplicate < 0 ? [] : [trainingImage(duplicate)]));
    $("place").textContent = `${number(open + 1)} of ${number(found.length)}`;
    if (!dialog.open) dialog.showModal();
  }

  // --- the confusion matrix --------------------------------------------------------------------
  function buildMatrix() {
    const totals = data.confusion.map((row) => row.reduce((a, b) => a + b, 0));
    const body = $("matrix").querySelector("tbody");
    data.confusion.forEach((row, t) => {
      const line = document.createElement("tr");
      line.append(Object.assign(document.createElement("th"), { scope: "row", textContent: classes[t] }));
      row.forEach((value, p) => {
        const cell = document.createElement("td");
        if (value) {
          const button = document.createElement("button");
          button.type = "button";
          Object.assign(button.dataset, { t, p });
          button.textContent = number(value);
          const share = t === p ? value / totals[t] : Math.min(1, (8 * value) / totals[t]);
          button.className = t === p ? "right" : "wrong";
          button.style.setProperty("--share", `${Math.round(10 + 60 * share)}%`);
          button.setAttribute("aria-label", `${number(value)} of ${classes[t]} predicted as ${classes[p]}`);
          cell.append(button);
        }
        line.append(cell);
      });
      body.append(line);
    });
    rove($("matrix"));
    $("matrix").addEventListener("keydown", (event) => step(event, $("matrix")));
    $("matrix").addEventListener("click", (event) => {
      const button = event.target.closest("button");
      if (!button) return;
      const again = button.getAttribute("aria-pressed") === "true";
      $("true").value = again ? "" : button.dataset.t;
      $("predicted").value = again ? "" : button.dataset.p;
      $("kind").value = again ? "mistakes" : "all";
      filter();
    });
  }

  async function copy(lines, what) {
    const text = lines.join("\n");
    try {
      await navigator.clipboard.writeText(text);
    } catch {
      // A page opened from a file may not have the clipboard.
      const area = document.createElement("textarea");
      area.value = text;
      document.body.append(area);
      area.select();
      document.execCommand("copy");
      area.remove();
    }
    $("copied").textContent = `${number(lines.length)} ${what} copied`;
  }

  // --- set up ----------------------------------------------------------------------------------
  const sheet = document.createElement("style");
  sheet.textContent = [
    ["pictures", data.pictures],
    ["heatmaps", data.heatmaps],
    ["neighbours", neighbours.pictures],
  ]
    .filter(([, url]) => url)
    .map(([name, url]) => `#explorer i.${name} { background-image: url(${url}); }`)
    .join("\n");
  document.head.append(sheet);
  root.style.setProperty("--columns", columns);
  const byName = classes.map((name, k) => [name, k]).sort((a, b) => a[0].localeCompare(b[0]));
  for (const name of ["true", "predicted"])
    $(name).append(...byName.map(([text, k]) => new Option(text, k)));
  for (const option of [...$("kind").options]) if (!kinds[option.value]) option.remove();
  for (const option of [...$("order").options]) if (!orders[option.value]) option.remove();
  for (const by of data.slices) {
    const group = Object.assign(document.createElement("optgroup"), { label: by.property });
    slices.forEach((slice, s) => slice.by === by && group.append(new Option(slice.words, s)));
    $("slice").append(group);
  }
  $("slice").closest("label").hidden = !slices.length;
  for (const name of ["true", "predicted", "slice", "kind", "order"]) $(name).addEventListener("change", filter);
  $("heat").addEventListener("change", () => root.classList.toggle("heat", $("heat").checked));
  $("reset").addEventListener("click", () => {
    for (const name of ["true", "predicted", "slice"]) $(name).value = "";
    $("kind").value = "mistakes";
    $("order").value = "surest";
    selection.clear();
  });
  const selection = drawMap($("map"), map, classes.length, (inside) => {
    brushed = inside && new Set(all.filter(inside));
    $("unbrush").hidden = !brushed;
    filter();
  });
  $("unbrush").addEventListener("click", selection.clear);
  $("more").addEventListener("click", () => {
    pages += 1;
    draw();
  });
  $("tiles").addEventListener("click", (event) => {
    const button = event.target.closest("button");
    if (button) show(found.indexOf(+button.dataset.i));
  });
  $("tiles").addEventListener("keydown", (event) => step(event, $("tiles")));
  $("previous").addEventListener("click", () => show(open - 1));
  $("next").addEventListener("click", () => show(open + 1));
  $("close").addEventListener("click", () => dialog.close());
  dialog.addEventListener("keydown", (event) => {
    if (event.key === "ArrowLeft") show(open - 1);
    if (event.key === "ArrowRight") show(open + 1);
  });
  dialog.addEventListener("click", (event) => event.target === dialog && dialog.close());
  $("ids").addEventListener("click", () => copy(found.map((i) => images.id[i]), "ids"));
  $("files").hidden = !images.file.some(Boolean);
  $("files").addEventListener("click", () => copy(found.map((i) => images.file[i]), "file names"));
  root.hidden = false;
  if (data.confusion) buildMatrix();
  filter();
})();
