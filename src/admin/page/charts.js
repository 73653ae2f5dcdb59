// Draws: lines over time, bars, predicted against measured. Each drawing is one image to a screen reader, with
// what it shows as its name. A pointer or the arrow keys read single values into the line above the drawing.

const MARGIN = { left: 48, right: 10, top: 8, bottom: 22 };
const MINUTE = 60 * SECOND;

/** The moment read in all charts over time; null is the newest. */
let readAt = null;

/** A figure's line of values and its drawing, made at first use; `move` answers pointer and keys. */
function canvas(id, move) {
  const figure = byId(id);
  let plot = figure.querySelector(".plot");
  if (!plot) {
    plot = node("div", { class: "plot", role: "img", tabindex: "0" });
    figure.append(node("p", { class: "values" }), plot);
    plot.addEventListener("pointermove", (event) => plot.move({ x: event.clientX - plot.getBoundingClientRect().left }));
    plot.addEventListener("pointerleave", () => plot.move(null));
    plot.addEventListener("blur", () => plot.move(null));
    plot.addEventListener("keydown", (event) => {
      const steps = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
      if (steps) plot.move({ steps });
      else if (event.key === "Escape") plot.move(null);
      else return;
      event.preventDefault();
    });
  }
  plot.move = move;
  return { plot, values: figure.querySelector(".values"), size: { width: Math.max(200, plot.clientWidth), height: Math.max(120, plot.clientHeight) } };
}

/** Numbers from 0 to a round one at or above `most`, three or four of them. */
function ticks(most) {
  const raw = (most > 0 ? most : 1) / 3;
  const magnitude = 10 ** Math.floor(Math.log10(raw));
  const step = [1, 2, 2.5, 5, 10].map((each) => each * magnitude).find((each) => each >= raw);
  return Array.from({ length: Math.ceil((most || 1) / step - 1e-9) + 1 }, (_, index) => index * step);
}

/** A drawing with its horizontal rules and their labels; `y` places a value. */
function frame(size, marks, format) {
  const most = marks.at(-1);
  const { bottom, high } = inner(size);
  const y = (value) => bottom - (Math.min(value, most) / most) * high;
  return { drawing: sheet(size, marks.map((mark) => rule(size, mark === 0 ? "axis" : "rule", y(mark), format(mark)))), y };
}

/** Where the drawing itself lies, inside of its labels. */
function inner({ width, height }) {
  const [right, bottom] = [width - MARGIN.right, height - MARGIN.bottom];
  return { left: MARGIN.left, right, bottom, wide: right - MARGIN.left, high: bottom - MARGIN.top };
}

const sheet = ({ width, height }, ...children) => svg("svg", { width, height, viewBox: `0 0 ${width} ${height}`, "aria-hidden": "true" }, children);

const rule = (size, look, y, text) => [svg("line", { class: look, x1: MARGIN.left, x2: inner(size).right, y1: y, y2: y }), label(MARGIN.left - 6, y + 3.5, text, "end")];

const label = (x, y, text, anchor = "middle") => svg("text", { x, y, "text-anchor": anchor }, text);

/** Writes a line of values; a screen reader hears it while single values are read, not the second's changes. */
function tell(values, reading, ...entries) {
  values.setAttribute("aria-live", reading ? "polite" : "off");
  put(values, entries);
}

/** One entry of a line of values: the look of its line, its name, its value. */
const entry = (look, name, value) => node("span", { class: "entry" }, look && key(look), name && `${name} `, node("b", null, value));

const key = (look) => svg("svg", { class: "key", width: 16, height: 8, "aria-hidden": "true" }, svg("line", { class: look, x1: 1, x2: 15, y1: 4, y2: 4 }));

function nothing(drawing, size, text) {
  drawing.append(label(MARGIN.left + inner(size).wide / 2, size.height / 2, text));
}

/** How many minutes a chart covers: ten, or fewer where not even half of them are known. */
function spanOf(points) {
  const known = serverNow() - (points[0]?.[0] ?? -Infinity);
  return [2, 4].find((minutes) => known <= minutes * MINUTE) ?? SPAN / MINUTE;
}

/** Lines over the last minutes: `lines` are `{name, look, points}`, drawn in order. */
function drawLines(id, shown) {
  const { span, lines, format, axis = format, most = 0, area = false, none } = shown;
  const end = serverNow();
  const begin = end - span * MINUTE;
  const known = lines.map((line) => line.points.filter(([at, value]) => value !== null && at >= begin));
  const { plot, values, size } = canvas(id, (to) => {
    readAt = moved(to, inner(size), begin, end);
    drawLines(id, shown);
  });
  const marks = ticks(Math.max(most, ...known.flat().map(([, value]) => value), 0));
  const { drawing, y } = frame(size, marks, axis);
  const { left, wide, bottom } = inner(size);
  const x = (at) => left + ((at - begin) / (end - begin)) * wide;
  for (const minutes of [span, span / 2, 0]) {
    drawing.append(label(x(end - minutes * MINUTE), size.height - 6, minutes ? `−${minutes} min` : "now", minutes === span ? "start" : minutes ? "middle" : "end"));
  }
  for (const { look, points } of lines) {
    const recent = points.filter(([at]) => at >= begin);
    if (area) drawing.append(svg("path", { class: "area", d: outline(recent, x, y, y(0)) }));
    drawing.append(svg("path", { class: look, d: outline(recent, x, y) }));
  }
  const empty = known.every((points) => points.length === 0);
  if (empty) nothing(drawing, size, none);
  if (readAt !== null && readAt >= begin && !empty) drawing.append(svg("line", { class: "cursor", x1: x(readAt), x2: x(readAt), y1: MARGIN.top, y2: bottom }));
  tell(values, readAt !== null, readAt === null ? null : node("span", { class: "entry when" }, clock(readAt)),
    lines.map((line) => entry(lines.length > 1 ? line.look : null, lines.length > 1 ? line.name : "", format(valueAt(line.points, readAt)))));
  plot.setAttribute("aria-label", empty ? none : lines.map((line, index) => summary(line, known[index], format)).join("; "));
  put(plot, drawing);
}

/** Where the reading goes: to the pointer, a step on, or back to the newest. */
function moved(to, { left, wide }, begin, end) {
  if (to === null) return null;
  const wanted = to.steps ? (readAt ?? end) + to.steps * 10 * SECOND : begin + ((to.x - left) / wide) * (end - begin);
  return wanted >= end ? null : Math.max(begin, wanted);
}

/** The value nearest to a moment, within five seconds; the newest for null. */
function valueAt(points, at) {
  if (at === null) return points.at(-1)?.[1] ?? null;
  const near = points.filter(([time]) => Math.abs(time - at) <= 5 * SECOND);
  return near.reduce((best, point) => (best === null || Math.abs(point[0] - at) < Math.abs(best[0] - at) ? point : best), null)?.[1] ?? null;
}

function summary({ name, points }, known, format) {
  const highest = known.reduce((best, point) => (best === null || point[1] > best[1] ? point : best), null);
  const now = `${name}: ${format(points.at(-1)?.[1])} now`;
  return highest ? `${now}, at most ${format(highest[1])} at ${clock(highest[0])}` : now;
}

/** A path through the known points; a gap where values are missing. With a floor, the area down to it. */
function outline(points, x, y, floor = null) {
  const runs = [];
  let last = null;
  for (const [at, value] of points) {
    if (value !== null) {
      if (last === null || at - last > 15 * SECOND) runs.push([]);
      runs.at(-1).push([at, value]);
      last = at;
    } else {
      last = null;
    }
  }
  const place = ([at, value]) => `${x(at).toFixed(1)} ${y(value).toFixed(1)}`;
  return runs.map((run) => {
    const line = `M${run.map(place).join("L")}`;
    if (floor === null) return run.length === 1 ? `${line}h.1` : line;
    return `${line}L${x(run.at(-1)[0]).toFixed(1)} ${floor}L${x(run[0][0]).toFixed(1)} ${floor}Z`;
  }).join("");
}

/** Bars of `[{le, count}]`: the share of each range in all of them. */
function drawBars(id, { buckets, unit, things, none }) {
  const all = list(buckets).filter((bucket) => isNumber(bucket?.count));
  const total = all.reduce((sum, bucket) => sum + bucket.count, 0);
  const named = all.map((bucket, index) => ({ ...bucket, range: rangeOf(all[index - 1]?.le, bucket.le), share: total > 0 ? bucket.count / total : 0 }));
  const bars = named.slice(0, named.findLastIndex((bar) => bar.count > 0) + 1);
  const { plot, values, size } = canvas(id, (to) => {
    plot.chosen = chosenBar(to, plot.chosen ?? null, bars.length, inner(size));
    drawBars(id, { buckets, unit, things, none });
  });
  const { drawing, y } = frame(size, ticks(Math.max(0.1, ...bars.map((bar) => bar.share))), percent);
  const step = inner(size).wide / Math.max(bars.length, 1);
  const every = Math.ceil((7 * Math.max(0, ...bars.map((bar) => bar.range.length)) + 6) / step);
  bars.forEach((bar, index) => {
    const left = MARGIN.left + index * step;
    const thickness = Math.min(step - 2, 42);
    drawing.append(svg("rect", { class: index === plot.chosen ? "barmark chosen" : "barmark", x: left + (step - thickness) / 2, y: y(bar.share), width: thickness, height: y(0) - y(bar.share), rx: 1.5 }));
    if (index % every === 0) drawing.append(label(left + step / 2, size.height - 6, bar.range));
  });
  if (total === 0) nothing(drawing, size, none);
  const told = (bar) => `${bar.range} ${unit}: ${count(bar.count)} (${percent(bar.share)})`;
  const chosen = bars[plot.chosen];
  tell(values, Boolean(chosen), total > 0 ? entry(null, "", chosen ? told(chosen) : `${count(total)} ${things}`) : null);
  plot.setAttribute("aria-label", total > 0 ? `${count(total)} ${things}. ${bars.filter((bar) => bar.count > 0).map(told).join("; ")}` : none);
  put(plot, drawing);
}

/** "5–8" of the buckets up to 4 and up to 8; "> 64" of the last. */
function rangeOf(before, upTo) {
  if (!isNumber(upTo)) return isNumber(before) ? `> ${before}` : "any";
  const least = isNumber(before) ? before + 1 : Math.min(1, upTo);
  return least >= upTo ? String(upTo) : `${least}–${upTo}`;
}

function chosenBar(to, chosen, bars, { left, wide }) {
  if (to === null || bars === 0) return null;
  const step = wide / bars;
  const wanted = to.steps ? (chosen ?? (to.steps > 0 ? -1 : bars)) + to.steps : Math.floor((to.x - left) / step);
  return Math.min(bars - 1, Math.max(0, wanted));
}

const MARKS = ["M-3 0a3 3 0 1 0 6 0a3 3 0 1 0 -6 0z", "M-3 -3h6v6h-6z", "M0 -3.6L3.6 2.8h-7.2z", "M0 -4L4 0L0 4L-4 0z"];

/** Batch shapes by predicted (across) and measured (up) time, both logarithmic; on the line both agree. */
function drawPrediction(id, { devices, ratio, coverage, none }) {
  const points = devices.flatMap((device, index) => list(device?.points).map((point) => ({ ...point, index })))
    .filter((point) => point.predicted_ms > 0 && point.measured_ms > 0);
  const { plot, values, size } = canvas(id, (to) => {
    plot.chosen = to?.steps ? chosenBar(to, plot.chosen ?? null, points.length, inner(size)) : nearest(points, to, place);
    drawPrediction(id, { devices, ratio, coverage, none });
  });
  const times = points.flatMap((point) => [point.predicted_ms, point.measured_ms]);
  const [low, high] = [Math.log10(Math.min(...times, 1)), Math.log10(Math.max(...times, 10)) + 0.05];
  const { left, right, bottom, wide, high: tall } = inner(size);
  const part = (time) => (Math.log10(time) - low) / (high - low);
  const x = (time) => left + part(time) * wide;
  const y = (time) => bottom - part(time) * tall;
  const place = (point) => [x(point.predicted_ms), y(point.measured_ms)];
  const drawing = sheet(size);
  for (let power = Math.ceil(low); power <= high; power += 1) {
    const at = 10 ** power;
    drawing.append(...rule(size, "rule", y(at), milliseconds(at)), label(x(at), size.height - 6, milliseconds(at), x(at) > right - 30 ? "end" : "middle"));
  }
  const ends = [10 ** low, 10 ** high];
  drawing.append(svg("line", { class: "agree", x1: x(ends[0]), y1: y(ends[0]), x2: x(ends[1]), y2: y(ends[1]) }));
  points.forEach((point, index) => {
    const [across, up] = place(point);
    drawing.append(svg("path", { class: index === plot.chosen ? "point chosen" : "point", d: MARKS[point.index % MARKS.length], transform: `translate(${across.toFixed(1)} ${up.toFixed(1)})` }));
  });
  if (points.length === 0) nothing(drawing, size, none);
  const chosen = points[plot.chosen];
  const error = isNumber(ratio) ? `off by ${percent(ratio)} of late` : "error not known yet";
  const covered = isNumber(coverage) ? `${percent(coverage)} within its margin` : "";
  tell(values, Boolean(chosen), entry(null, "", chosen ? toldPoint(chosen, devices) : error), chosen || !covered ? null : entry(null, "", covered));
  plot.setAttribute("aria-label", points.length > 0 ? `${[error, covered].filter(Boolean).join(", ")}. ${several(points.length, "shape")}. Use the arrow keys for each.` : none);
  put(plot, drawing);
}

function toldPoint(point, devices) {
  const { device, busy_workers: busy } = devices[point.index];
  const where = devices.length > 1 ? ` on ${device}${isNumber(busy) ? `, ${busy} busy` : ""}` : "";
  return `${several(Math.round(point.rows), "row")} × ${count(point.len)}${where}: predicted ${milliseconds(point.predicted_ms)}, took ${milliseconds(point.measured_ms)}`;
}

/** The point nearest to the pointer, within 24 pixels across. */
function nearest(points, to, place) {
  if (to === null) return null;
  const distances = points.map((point) => Math.abs(place(point)[0] - to.x));
  const least = Math.min(...distances);
  return least <= 24 ? distances.indexOf(least) : null;
}
