// One image as the model was trained to see it: what clearsight's `fit_image` does.

// Pixels [height, width, 3] of an upright RGB image, 0–255, fitted to a square of `size` px.
export function fitImage({ pixels, width, height }, size, fit) {
  if (width === size && height === size) return pixels;
  if (fit === "stretch") return resized({ pixels, width, height }, size, size);
  const scale = (fit === "letterbox" ? Math.min : Math.max)(size / width, size / height);
  const wide = Math.max(1, rounded(width * scale));
  const high = Math.max(1, rounded(height * scale));
  const scaled = resized({ pixels, width, height }, wide, high);
  const left = Math.floor((size - wide) / 2);
  const top = Math.floor((size - high) / 2);
  const canvas = new Uint8Array(size * size * 3);
  const paper = fit === "letterbox" ? borderColour(scaled, wide, high) : [0, 0, 0];
  for (let y = 0; y < size; y++)
    for (let x = 0; x < size; x++) {
      const inside = x >= left && x < left + wide && y >= top && y < top + high;
      for (let c = 0; c < 3; c++)
        canvas[3 * (y * size + x) + c] = inside
          ? scaled[3 * ((y - top) * wide + x - left) + c]
          : paper[c];
    }
  return canvas;
}

// The mean colour of the first and last row and column, corners twice.
function borderColour(pixels, width, height) {
  const sum = [0, 0, 0];
  const add = (x, y) => {
    for (let c = 0; c < 3; c++) sum[c] += pixels[3 * (y * width + x) + c];
  };
  for (let x = 0; x < width; x++) {
    add(x, 0);
    add(x, height - 1);
  }
  for (let y = 0; y < height; y++) {
    add(0, y);
    add(width - 1, y);
  }
  return sum.map((value) => rounded(value / (2 * width + 2 * height)));
}

// As Pillow's bicubic `resize`, antialiased where images shrink: rows first, then columns, each
// with weights of 22 bits and rounded to 8. Versions of Pillow that begin with the columns of some
// images differ by 1 here and there, and by more where values are clipped in between.
function resized({ pixels, width, height }, wide, high) {
  let result = pixels;
  if (wide !== width) result = resample(result, height, width, wide, 3 * width, 3, 3 * wide, 3);
  if (high !== height) result = resample(result, wide, height, high, 3, 3 * wide, 3, 3 * wide);
  return result;
}

// `lines` lines of `from` pixels each, resampled to `to` pixels; the steps are between lines and
// between the pixels of a line, in what comes and in what goes out.
function resample(given, lines, from, to, lineIn, stepIn, lineOut, stepOut) {
  const out = new Uint8Array(3 * lines * to);
  const weights = coefficients(from, to);
  for (let k = 0; k < to; k++) {
    const { start, kernel } = weights[k];
    for (let line = 0; line < lines; line++)
      for (let c = 0; c < 3; c++) {
        let sum = 2 ** 21;
        for (let j = 0; j < kernel.length; j++)
          sum += kernel[j] * given[line * lineIn + (start + j) * stepIn + c];
        const value = Math.floor(sum / 2 ** 22);
        out[line * lineOut + k * stepOut + c] = value < 0 ? 0 : value > 255 ? 255 : value;
      }
  }
  return out;
}

function coefficients(from, to) {
  const scale = from / to;
  const stretch = Math.max(scale, 1);
  const support = 2 * stretch;
  return Array.from({ length: to }, (_, k) => {
    const centre = (k + 0.5) * scale;
    const start = Math.max(0, Math.trunc(centre - support + 0.5));
    const end = Math.min(from, Math.trunc(centre + support + 0.5));
    const kernel = [];
    for (let x = start; x < end; x++) kernel.push(cubic((x - centre + 0.5) / stretch));
    const total = kernel.reduce((a, b) => a + b, 0);
    const whole = (value) => Math.trunc(value * 2 ** 22 + (value < 0 ? -0.5 : 0.5));
    return { start, kernel: kernel.map((value) => whole(total ? value / total : value)) };
  });
}

function cubic(x) {
  const a = -0.5;
  const d = Math.abs(x);
  if (d < 1) return ((a + 2) * d - (a + 3)) * d * d + 1;
  if (d < 2) return (((d - 5) * d + 8) * d - 4) * a;
  return 0;
}

// Halves go to the even neighbour, as Python and NumPy round.
function rounded(value) {
  const below = Math.floor(value);
  const rest = value - below;
  if (rest !== 0.5) return rest < 0.5 ? below : below + 1;
  return below % 2 ? below + 1 : below;
}
