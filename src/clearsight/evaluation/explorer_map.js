"use strict";
// The map of the explorer: points on a canvas, and an area of it that is selected by dragging or
// by keyboard. `map` is that of explorer.json. `onSelect` is called with a function that says of a
// point whether it is inside, or with null where nothing is selected.
function drawMap(canvas, map, classes, onSelect) {
  let area = null; // {x, y, width, height} in px of the canvas
  const dark = matchMedia("(prefers-color-scheme: dark)");

  function place(i, box) {
    const edge = 8;
    return [
      edge + ((box.width - 2 * edge) * map.x[i]) / 1000,
      box.height - edge - ((box.height - 2 * edge) * map.y[i]) / 1000,
    ];
  }

  function paint() {
    const box = canvas.getBoundingClientRect();
    if (!box.width) return;
    const scale = window.devicePixelRatio || 1;
    canvas.width = box.width * scale;
    canvas.height = box.height * scale;
    const pen = canvas.getContext("2d");
    pen.scale(scale, scale);
    const hue = (k) => `hsl(${(360 * k) / classes} 65% ${dark.matches ? 65 : 42}%)`;
    for (const right of [1, 0]) {
      pen.globalAlpha = right ? 0.35 : 1;
      for (let i = 0; i < map.x.length; i++) {
        if (map.right[i] !== right) continue;
        const [x, y] = place(i, box);
        pen.fillStyle = hue(map.label[i]);
        if (right) pen.fillRect(x - 1, y - 1, 2, 2);
        else pen.fillRect(x - 2, y - 2, 4, 4);
      }
    }
    pen.globalAlpha = 1;
    if (area) {
      pen.strokeStyle = getComputedStyle(document.documentElement).getPropertyValue("--ink").trim();
      pen.lineWidth = 1.5;
      pen.strokeRect(area.x, area.y, area.width, area.height);
    }
  }

  function inside(i) {
    const [x, y] = place(i, canvas.getBoundingClientRect());
    return x >= area.x && x <= area.x + area.width && y >= area.y && y <= area.y + area.height;
  }

  function select(chosen) {
    area = chosen && chosen.width > 3 && chosen.height > 3 ? chosen : null;
    paint();
    onSelect(area && inside);
  }

  let from = null;
  const at = (event) => {
    const box = canvas.getBoundingClientRect();
    return [event.clientX - box.left, event.clientY - box.top];
  };
  canvas.addEventListener("pointerdown", (event) => {
    from = at(event);
    canvas.setPointerCapture(event.pointerId);
  });
  canvas.addEventListener("pointermove", (event) => {
    if (!from) return;
    const [x, y] = at(event);
    area = {
      x: Math.min(x, from[0]),
      y: Math.min(y, from[1]),
      width: Math.abs(x - from[0]),
      height: Math.abs(y - from[1]),
    };
    paint();
  });
  canvas.addEventListener("pointerup", (event) => {
    if (!from) return;
    const [x, y] = at(event);
    if (x === from[0] && y === from[1]) area = null; // a click without dragging
    from = null;
    select(area);
  });
  canvas.addEventListener("pointercancel", () => {
    from = null; // the finger scrolls the page
    select(null);
  });
  canvas.addEventListener("keydown", (event) => {
    const moves = { ArrowRight: [1, 0], ArrowLeft: [-1, 0], ArrowDown: [0, 1], ArrowUp: [0, -1] };
    const move = moves[event.key];
    if (!move && event.key !== "Escape") return;
    event.preventDefault();
    if (!move) return select(null);
    const box = canvas.getBoundingClientRect();
    const by = box.width / 40;
    const next = area || {
      x: box.width * 0.4,
      y: box.height * 0.4,
      width: box.width * 0.2,
      height: box.height * 0.2,
    };
    const [names, least] = event.shiftKey ? [["width", "height"], 8] : [["x", "y"], 0];
    names.forEach((name, axis) => (next[name] = Math.max(least, next[name] + by * move[axis])));
    select(next);
  });
  new ResizeObserver(paint).observe(canvas);
  dark.addEventListener("change", paint);
  return { clear: () => select(null) };
}
