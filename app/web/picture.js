// The training picture: perplexity over epochs as SVG, on a logarithmic scale. Knows numbers, not where they are from.

const SVG = "http://www.w3.org/2000/svg";
const SIZE = { width: 300, height: 170 };
const EDGE = { top: 12, right: 6, bottom: 22, left: 40 };
const STEPS = [1, 2, 5];

/**
 * series: [{name, className, points: [[epoch, perplexity], …]}]; label: the whole in a sentence; unit: of the
 * horizontal axis. Returns null where no series has two points.
 */
export function picture(series, label, unit) {
  const drawn = series.filter(({ points }) => points.length > 1);
  if (drawn.length === 0) return null;
  const all = drawn.flatMap(({ points }) => points);
  const x = scale(all.map(([epoch]) => epoch), EDGE.left, SIZE.width - EDGE.right, (value) => value);
  const y = scale(all.map(([, perplexity]) => perplexity), SIZE.height - EDGE.bottom, EDGE.top, Math.log);

  const svg = element("svg", { viewBox: `0 0 ${SIZE.width} ${SIZE.height}`, role: "img", "aria-label": label });
  for (const value of ticks(y.low, y.high)) {
    svg.append(
      element("line", { class: "grid", x1: EDGE.left, x2: SIZE.width - EDGE.right, y1: y(value), y2: y(value) }),
      text(value.toLocaleString(), { x: 0, y: y(value) + 3.5 }),
    );
  }
  svg.append(
    text(`${unit} ${x.low}`, { x: EDGE.left, y: SIZE.height - 5 }),
    text(String(x.high), { x: SIZE.width - EDGE.right, y: SIZE.height - 5, "text-anchor": "end" }),
  );
  for (const { className, points } of drawn) {
    const path = points.map(([epoch, perplexity], i) => `${i ? "L" : "M"}${x(epoch).toFixed(1)} ${y(perplexity).toFixed(1)}`);
    const [epoch, perplexity] = points.at(-1);
    svg.append(
      element("path", { class: `line ${className}`, d: path.join("") }),
      element("circle", { class: `end ${className}`, cx: x(epoch), cy: y(perplexity), r: 3 }),
    );
  }
  return svg;
}

/** A function from values to coordinates, with the least and greatest value as `low` and `high`. */
function scale(values, from, to, warp) {
  const low = Math.min(...values);
  const high = Math.max(...values);
  const span = warp(high) - warp(low) || 1;
  return Object.assign((value) => from + ((warp(value) - warp(low)) / span) * (to - from), { low, high });
}

/** Round numbers from low to high: 1, 2, 5, 10 …, or powers of ten alone where those would crowd. */
function ticks(low, high) {
  const decades = [];
  for (let power = Math.floor(Math.log10(low)); power <= Math.ceil(Math.log10(high)); power += 1) decades.push(10 ** power);
  const inside = (values) => values.filter((value) => value >= low && value <= high);
  const fine = inside(decades.flatMap((decade) => STEPS.map((step) => step * decade)));
  const coarse = inside(decades);
  return fine.length > 6 && coarse.length > 1 ? coarse : fine;
}

function element(name, attributes) {
  const made = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  return made;
}

function text(content, attributes) {
  const made = element("text", attributes);
  made.textContent = content;
  return made;
}
