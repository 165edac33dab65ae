// A curve of points: press to add one, drag it, double-click to take it away.
const HEIGHT = 180, LEFT = 36, TOP = 12, BOTTOM = 146;
let right = 588;
let points = JSON.parse(props.value || "[]");
let held = -1;

const length = () => Number(props.length) || 1;
const x = (time) => LEFT + (Math.min(time, length()) / length()) * (right - LEFT);
const y = (share) => BOTTOM - share * (BOTTOM - TOP);
const near = (value, step) => Math.round(value / step) * step;

function shown() {
  if (!points.length) return [[0, 1], [length(), 1]];
  return [[0, points[0][1]], ...points, [length(), points[points.length - 1][1]]];
}

function draw() {
  const svg = element.querySelector("svg");
  if (!svg) return;
  const width = svg.clientWidth || 600;
  right = width - 12;
  svg.setAttribute("viewBox", `0 0 ${width} ${HEIGHT}`);
  const rules = [0, 0.5, 1].map((share) =>
    `<path class="rule" d="M${LEFT} ${y(share)}H${right}"/><text x="${LEFT - 6}" y="${y(share) + 4}" text-anchor="end">${share}</text>`);
  const ticks = [0, 0.25, 0.5, 0.75, 1].map((share) =>
    `<text x="${x(share * length())}" y="${BOTTOM + 18}" text-anchor="middle">${+(share * length()).toFixed(2)}</text>`);
  const line = shown().map(([time, share]) => `${x(time)} ${y(share)}`).join("L");
  const dots = points.map(([time, share], index) =>
    `<circle data-index="${index}" cx="${x(time)}" cy="${y(share)}" r="7"><title>${time} ${props.unit}: ${share}</title></circle>`);
  svg.innerHTML = `${rules.join("")}${ticks.join("")}<text x="${right}" y="${BOTTOM + 32}" text-anchor="end">${props.unit}</text>` +
    `<path class="line${points.length ? "" : " flat"}" d="M${line}"/>${dots.join("")}`;
}

function place(event) {
  const box = element.querySelector("svg").getBoundingClientRect();
  const across = ((event.clientX - box.left) / box.width) * (right + 12);
  const down = ((event.clientY - box.top) / box.height) * HEIGHT;
  const time = Math.max(0, Math.min(1, (across - LEFT) / (right - LEFT))) * length();
  const share = Math.max(0, Math.min(1, (BOTTOM - down) / (BOTTOM - TOP)));
  return [+near(time, props.unit === "seconds" ? 0.05 : 1).toFixed(2), +near(share, 0.05).toFixed(2)];
}

function keep() {
  points.sort((a, b) => a[0] - b[0]);
  props.value = JSON.stringify(points);
  trigger("change");
  setTimeout(draw, 0);
}

element.addEventListener("pointerdown", (event) => {
  if (!event.target.closest("svg")) return;
  event.preventDefault();
  const index = event.target.dataset ? event.target.dataset.index : undefined;
  if (index === undefined) points.push(place(event));
  held = index === undefined ? points.length - 1 : Number(index);
  draw();
});
window.addEventListener("pointermove", (event) => {
  if (held < 0) return;
  points[held] = place(event);
  draw();
});
window.addEventListener("pointerup", () => {
  if (held < 0) return;
  held = -1;
  keep();
});
element.addEventListener("dblclick", (event) => {
  const index = event.target.dataset ? event.target.dataset.index : undefined;
  if (index === undefined) return;
  points.splice(Number(index), 1);
  keep();
});
new ResizeObserver(draw).observe(element);
watch(["value", "length", "unit"], () => {
  points = JSON.parse(props.value || "[]");
  draw();
});
draw();
