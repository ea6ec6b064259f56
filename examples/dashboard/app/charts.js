// Lines, bars and a pie, drawn as SVG in the size that the page gives them. A chart's label says in words what it shows.

const FROM = { left: 40, top: 10, right: 8, bottom: 22 }; // room for the labels of the axes

// Series of the last `length` values: [{ className, values }], on a scale from 0 to at least `least`.
export function lines(svg, series, { length, least, unit, label }) {
  const { width, height, x, y, top } = frame(svg, Math.max(least, ...series.flatMap(({ values }) => values)), unit);
  const step = (x(1) - x(0)) / (length - 1);
  const parts = series.flatMap(({ className, values }) => {
    const start = x(1) - step * (values.length - 1);
    const points = values.map((value, index) => `${round(start + index * step)} ${round(y(value / top))}`);
    if (!points.length) return [];
    return [
      shape("path", { class: `area ${className}`, d: `M${round(start)} ${y(0)}L${points.join("L")}L${x(1)} ${y(0)}Z` }),
      shape("path", { class: `curve ${className}`, d: `M${points.join("L")}` }),
    ];
  });
  svg.append(...parts, text(x(0), height - 4, `${length} s ago`, "start"), text(width - FROM.right, height - 4, "now", "end"));
  svg.setAttribute("aria-label", label);
}

// One bar for each value, on a scale from 0 to `top`.
export function bars(svg, values, { top, unit, label }) {
  const { height, x, y } = frame(svg, top, unit);
  const slot = (x(1) - x(0)) / values.length;
  const width = Math.min(slot * 0.64, 56);
  const every = Math.ceil(values.length / 16); // as many numbers as there is room for
  values.forEach((value, index) => {
    const left = x(0) + slot * index + (slot - width) / 2;
    const bar = (className, share) => shape("rect", { class: className, x: round(left), width: round(width), y: round(y(share)), height: round(y(0) - y(share)), rx: 3 });
    svg.append(bar("trough", 1), bar("bar", value / top));
    if (index % every === 0) svg.append(text(left + width / 2, height - 4, index + 1, "middle"));
  });
  svg.setAttribute("aria-label", label);
}

// Parts of a whole: [{ className, value }], clockwise from the top, with a word in the middle.
export function pie(svg, parts, { word, label }) {
  const { width, height } = clear(svg);
  const [middle, center, outer] = [width / 2, height / 2, Math.min(width, height) / 2];
  const inner = outer * 0.62;
  const whole = parts.reduce((sum, { value }) => sum + value, 0) || 1;
  const at = (share, radius) => {
    const angle = 2 * Math.PI * share;
    return `${round(middle + radius * Math.sin(angle))} ${round(center - radius * Math.cos(angle))}`;
  };
  let from = 0;
  for (const { className, value } of parts) {
    const to = Math.min(from + value / whole, from + 0.99999); // a whole circle has no end that differs from its start
    const large = to - from > 0.5 ? 1 : 0;
    svg.append(shape("path", {
      class: `slice ${className}`,
      d: `M${at(from, outer)}A${outer} ${outer} 0 ${large} 1 ${at(to, outer)}L${at(to, inner)}A${inner} ${inner} 0 ${large} 0 ${at(from, inner)}Z`,
    }));
    from = to;
  }
  svg.append(text(middle, center + 5, word, "middle"));
  svg.setAttribute("aria-label", label);
}

// Axes from 0 to a round number that is no less than `most`.
function frame(svg, most, unit) {
  const { width, height } = clear(svg);
  const magnitude = 10 ** Math.floor(Math.log10(most));
  const top = [1, 2, 5, 10].map((factor) => factor * magnitude).find((value) => value >= most);
  const x = (share) => FROM.left + share * (width - FROM.left - FROM.right);
  const y = (share) => height - FROM.bottom - share * (height - FROM.top - FROM.bottom);
  for (const share of [0, 0.5, 1]) {
    svg.append(
      shape("line", { class: "grid", x1: x(0), x2: x(1), y1: round(y(share)), y2: round(y(share)) }),
      text(FROM.left - 8, y(share) + 4, `${(top * share).toLocaleString("en")}${unit}`, "end"),
    );
  }
  return { width, height, x, y, top };
}

function clear(svg) {
  const { width, height } = svg.getBoundingClientRect();
  svg.setAttribute("viewBox", `0 0 ${width} ${height}`);
  svg.replaceChildren();
  return { width, height };
}

function text(x, y, content, anchor) {
  const made = shape("text", { x: round(x), y: round(y), "text-anchor": anchor });
  made.textContent = content;
  return made;
}

function shape(tag, attributes) {
  const made = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  return made;
}

const round = (number) => Math.round(number * 10) / 10;
