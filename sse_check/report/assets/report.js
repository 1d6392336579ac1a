// The charts of the page, of the streams that data.js has read; text reaches the page as text only.
"use strict";
(() => {
  if (!page || !page.byId("charts")) return;
  const { TINIEST, byId, data, drawing, element, inWords, nth, read, streams } = page;
  const MAX_ROWS = 500;          // of the tables behind the charts
  const MAX_POINTS = 400;        // in sight, to be drawn as dots too
  const MAX_OFFERED = 8;         // streams that are offered to be laid over; the list has all
  const DASHES = [[], [7, 5], [2, 3], [10, 3, 2, 3], [14, 4], [1, 4]];
  const FONT = "12px system-ui, sans-serif";
  const WIDTHS = [3, 1.5];
  const TELLING = ["identity", "direct", "alone"]; // what is laid over a stream from the start

  /* Colours are the page's own; a change of scheme is a change of these. */
  let palette = {};
  const color = (name) => palette[name] ??= getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();

  /* What is shown. */
  let chosen = null, over = new Set(), marked = "", logarithmic = false, whole = [0, 1], range = [...whole], charts = {};

  // A staircase: at each time, how many there were by then; of one time only the last, and from zero to the stream's end.
  const stairs = (stream, at, total, end) => {
    const xs = [Math.min(0, at[0] ?? 0)], ys = [0];
    at.forEach((x, index) => {
      if (x === xs[xs.length - 1]) ys[ys.length - 1] = nth(stream, index, total);
      else { xs.push(x); ys.push(nth(stream, index, total)); }
    });
    if (end > xs[xs.length - 1]) { xs.push(end); ys.push(ys[ys.length - 1]); }
    return [xs, ys];
  };
  // Of events at one time the longest counts; a logarithmic axis has no zero.
  const longest = (pairs) => {
    const xs = [], ys = [];
    for (const [x, y] of pairs) {
      const value = logarithmic ? Math.max(y, TINIEST) : y;
      if (x === xs[xs.length - 1]) ys[ys.length - 1] = Math.max(ys[ys.length - 1], value);
      else { xs.push(x); ys.push(value); }
    }
    return [xs, ys];
  };
  const gapsOf = (stream) => {
    const at = stream.received, pairs = at.map((x, index) => [x, x - (at[index - 1] ?? 0)]);
    const last = at.length ? at[at.length - 1] : 0;
    return stream.end > last ? [...pairs, [stream.end, stream.end - last]] : pairs;
  };
  const delaysOf = (stream) => {
    if (!stream.besideIs || !stream.besideIs.startsWith("sent")) return [];
    return stream.received.slice(0, stream.beside.length)
      .map((x, index) => [x, x - stream.beside[index], index])
      .filter(([, , index]) => nth(stream, index, stream.events) === nth(stream, index, stream.due));
  };

  const lines = () => {
    const main = read(chosen), shown = [{ label: "received", data: stairs(main, main.received, main.events, main.end), look: 0 }];
    const beside = main.besideIs === "due" ? "due by the scenario" : main.besideIs;
    if (beside) shown.push({ label: beside, data: stairs(main, main.beside, main.due, 0), look: 1 });
    [...over].forEach((number, index) => {
      const stream = read(streams[number]);
      const kinds = DASHES.length - 2, look = 2 + (index % kinds), round = Math.floor(index / kinds);
      const dash = DASHES[2 + ((index + round) % kinds)]; // no two of the first sixteen have both in common
      shown.push({ label: stream.name, number, data: stairs(stream, stream.received, stream.events, stream.end), look, dash });
    });
    return shown;
  };

  /* Drawing. */
  const axis = (more) => ({
    stroke: () => color("muted"), grid: { stroke: () => color("grid"), width: 1 }, ticks: { show: false }, font: FONT, ...more,
  });
  const sizeOf = (box) => ({ width: Math.max(box.clientWidth, 50), height: Math.max(box.clientHeight, 50) });
  const options = (box, series, y, hooks) => ({
    ...sizeOf(box), legend: { show: false }, pxAlign: 0, series: [{}, ...series],
    cursor: { sync: { key: "time" }, drag: { x: true, y: false, setScale: false }, points: { show: false } },
    scales: { x: { time: false, range: () => range }, y },
    axes: [
      axis({ values: (_, at) => at.map((x) => `${+x.toPrecision(6)}s`), space: 56, size: 30 }),
      axis({ values: (_, at) => at.map((value) => value === null ? "" : y.words(value)), size: 58 }),
    ],
    hooks: { setSelect: [selected], setCursor: [pointAt], ...hooks },
  });
  const selected = (plot) => {
    const { left, width } = plot.select;
    if (width < 3) return;
    plot.setSelect({ width: 0, height: 0 }, false);
    show(plot.posToVal(left, "x"), plot.posToVal(left + width, "x"));
  };
  const dotted = (plot, _, first, last) => last - first < MAX_POINTS;
  const stems = (plot, series, first, last) => { // a line from the axis up to each value
    const path = new Path2D(), xs = plot.data[0], ys = plot.data[series], foot = plot.bbox.top + plot.bbox.height;
    for (let index = first; index <= last; index++) {
      if (ys[index] === undefined || ys[index] === null) continue;
      const x = plot.valToPos(xs[index], "x", true);
      path.moveTo(x, foot);
      path.lineTo(x, plot.valToPos(ys[index], "y", true));
    }
    return { stroke: path, fill: null, clip: null, band: null, gaps: null, flags: 1 };
  };

  // Evidence as bands and limits as thin lines below the lines of events, heartbeats as ticks at the foot.
  const strong = (mark) => mark.code !== "" && mark.code === marked;
  const inSight = () => chosen.marks.filter((mark) => mark.to >= range[0] && mark.from <= range[1]).sort((a, b) => a.from - b.from);
  const across = ({ bbox, valToPos }, seconds) => Math.min(Math.max(valToPos(seconds, "x", true), bbox.left), bbox.left + bbox.width);
  const drawMarks = (plot) => {
    const { ctx, bbox } = plot, ratio = uPlot.pxRatio;
    ctx.save();
    ctx.fillStyle = color("line-0");
    const beats = chosen.alive.filter((at) => at >= range[0] && at <= range[1]);
    for (const at of beats) ctx.fillRect(across(plot, at), bbox.top + bbox.height - 6 * ratio, ratio, 6 * ratio);
    for (const mark of inSight()) {
      const from = across(plot, mark.from), to = across(plot, mark.to);
      ctx.fillStyle = ctx.strokeStyle = color(mark.code ? "mark" : "limit");
      ctx.globalAlpha = strong(mark) ? 0.2 : 0.1;
      if (to > from) ctx.fillRect(from, bbox.top, to - from, bbox.height);
      ctx.globalAlpha = 1;
      ctx.lineWidth = (strong(mark) ? 3 : 1) * ratio;
      ctx.setLineDash(mark.code ? [] : [4 * ratio, 4 * ratio]);
      ctx.beginPath();
      for (const x of [from, to]) {
        ctx.moveTo(x, bbox.top);
        ctx.lineTo(x, bbox.top + bbox.height);
      }
      ctx.stroke();
    }
    ctx.restore();
  };
  // Their words above everything else, each in the first row that is free.
  const drawWords = (plot) => {
    const { ctx, bbox } = plot, ratio = uPlot.pxRatio, rows = [], right = bbox.left + bbox.width;
    ctx.save();
    ctx.textBaseline = "top";
    ctx.textAlign = "left";
    for (const mark of inSight()) {
      ctx.font = `${strong(mark) ? "bold " : ""}${12 * ratio}px system-ui, sans-serif`;
      const width = Math.min(ctx.measureText(mark.text).width, bbox.width - 16 * ratio) + 10 * ratio;
      const at = across(plot, mark.from), gap = 4 * ratio, fits = at + gap + width <= right;
      const left = fits ? at + gap : Math.max(bbox.left + gap, at - gap - width);
      const free = rows.findIndex((end) => end < left), row = free < 0 ? rows.length : free;
      const top = bbox.top + (4 + row * 20) * ratio;
      rows[row] = left + width;
      ctx.fillStyle = color("card");
      ctx.globalAlpha = 0.85;
      ctx.fillRect(left, top, width, 18 * ratio);
      ctx.globalAlpha = 1;
      ctx.fillStyle = color(mark.code ? "mark" : "muted");
      ctx.fillText(mark.text, left + 5 * ratio, top + 3 * ratio, width - 10 * ratio);
    }
    ctx.restore();
  };

  // What is laid over lies below, the thin dashes of what was sent above the thick line of what was received.
  const height = ({ look }) => look > 1 ? 0 : look === 0 ? 1 : 2;
  const staircase = (shown, box) => {
    const most = Math.max(1, ...shown.map((line) => line.data[1][line.data[1].length - 1])), paths = uPlot.paths.stepped({ align: 1 });
    const above = [...shown].sort((one, other) => height(one) - height(other));
    const series = above.map(({ look, dash = DASHES[look] }) => ({
      stroke: () => color(`line-${look}`), width: WIDTHS[look] ?? 2.25, dash, paths,
      points: { show: look === 0 && dotted, size: 5, fill: () => color("line-0") },
    }));
    const y = { words: (value) => Number.isInteger(value) ? value.toLocaleString("en") : "", range: (_, low, high) => within(low, high, most) };
    const hooks = { drawAxes: [drawMarks], draw: [drawWords] };
    return new uPlot(options(box, series, y, hooks), uPlot.join(above.map((line) => line.data)), box);
  };
  const pauses = (between, late, box) => {
    const series = [
      { stroke: () => color("line-0"), width: 1.75, paths: stems, points: { show: dotted, size: 6, fill: () => color("line-0") } },
      { stroke: () => color("line-1"), width: 1.75, dash: DASHES[1], points: { show: dotted, size: 7, fill: () => color("card") } },
    ];
    const decade = (value, round) => 10 ** round(Math.log10(value || TINIEST));
    const y = logarithmic
      ? { words: inWords, distr: 3, log: 10, range: (_, low, high) => [decade(low, Math.floor), decade((high || 1) * 1.01, Math.ceil)] }
      : { words: inWords, range: (_, low, high) => [Math.min(0, low ?? 0), (high || 1) * 1.12] };
    return new uPlot(options(box, series, y, {}), uPlot.join([between, late]), box);
  };
  const build = () => {
    for (const plot of Object.values(charts)) plot.destroy();
    const shown = lines(), late = longest(delaysOf(chosen)), all = range[0] === whole[0] && range[1] === whole[1];
    whole = extent(shown);
    if (all || range[1] > whole[1]) range = [...whole];
    charts = { staircase: staircase(shown, byId("staircase")), gaps: pauses(longest(gapsOf(chosen)), late, byId("gaps")) };
    for (const plot of Object.values(charts)) watch(plot);
    legends(shown, late[0].length > 0);
    describe(shown);
    show(...range);
  };
  // All of the chosen stream and of what lies over it. What was due or sent long before or after it must not squeeze it.
  const extent = (shown) => {
    const end = Math.max(chosen.end, ...[...over].map((number) => streams[number].end), TINIEST * 10);
    const ends = shown.flatMap(({ data: [xs] }) => [xs[0], xs[xs.length - 1]]);
    return [Math.max(Math.min(0, ...ends), -end / 2), Math.min(Math.max(end, ...ends), 3 * end) + end * 0.025];
  };
  const within = (low, high, most) => {
    if (low === null || low === undefined || range[1] - range[0] >= (whole[1] - whole[0]) * 0.999) return [0, most * 1.1];
    return [Math.max(0, low - 1), high + Math.max(1, (high - low) * 0.1)];
  };

  /* Moving along: one range for both charts. */
  const show = (from, to) => {
    const span = Math.min(Math.max(to - from, TINIEST * 5), whole[1] - whole[0]);
    const left = Math.min(Math.max(from, whole[0]), whole[1] - span);
    range = [left, left + span];
    for (const plot of Object.values(charts)) plot.setScale("x", { min: range[0], max: range[1] });
    byId("range").textContent = `${inWords(range[0])} to ${inWords(range[1])}`;
  };
  const zoom = (factor, at = (range[0] + range[1]) / 2) => show(at - (at - range[0]) * factor, at + (range[1] - at) * factor);
  const slide = (share) => show(range[0] + (range[1] - range[0]) * share, range[1] + (range[1] - range[0]) * share);
  const moves = { in: () => zoom(0.5), out: () => zoom(2), left: () => slide(-0.25), right: () => slide(0.25), reset: () => show(...whole) };
  const keys = { "+": "in", "=": "in", "-": "out", ArrowLeft: "left", ArrowRight: "right", 0: "reset", Home: "reset" };
  const watch = (plot) => {
    plot.over.addEventListener("dblclick", moves.reset);
    plot.over.addEventListener("wheel", (event) => {
      if (!event.ctrlKey && !event.metaKey) return;
      event.preventDefault();
      zoom(event.deltaY > 0 ? 1.25 : 0.8, plot.posToVal(event.offsetX, "x"));
    }, { passive: false });
  };

  /* Words beside the drawing. */
  const swatch = (look, dash = DASHES[look]) => drawing("svg", { viewBox: "0 0 30 14", "aria-hidden": "true" }, drawing("line", {
    x1: 0, x2: 30, y1: 7, y2: 7, stroke: `var(--line-${look})`, "stroke-width": WIDTHS[look] ?? 2, "stroke-dasharray": dash.join(" "),
  }));
  const offer = (number, line) => { // a stream that lies over the chosen one, or may
    const box = Object.assign(element("input", null), { type: "checkbox", checked: line !== undefined });
    box.dataset.over = number;
    box.addEventListener("change", () => {
      if (!over.delete(number)) over.add(number);
      build();
      byId("legend").querySelector(`[data-over="${number}"]`)?.focus();
    });
    const label = element("label", null, box, ...(line ? [swatch(line.look, line.dash)] : []), `${nameOf(streams[number])} `);
    return element("li", null, label, ...(line ? [value(line)] : []));
  };
  const legends = (shown, delays) => {
    const own = shown.filter((line) => line.number === undefined)
      .map((line) => element("li", null, swatch(line.look), `${line.label} `, value(line)));
    const offered = [...new Set([...over, ...offers().slice(0, MAX_OFFERED)])];
    const others = offered.map((number) => offer(number, shown.find((line) => line.number === number)));
    const beats = chosen.alive.length ? [element("li", `ticks at the foot: comments (${chosen.alive.length.toLocaleString("en")})`)] : [];
    byId("legend").replaceChildren(...own, ...others, ...beats);
    const before = element("span", null, swatch(0), "since the event before; the first since the request, the last until the end");
    byId("gaps-legend").replaceChildren(before, ...(delays ? [element("span", null, swatch(1), "delay: received after it was sent")] : []));
  };
  const nameOf = (stream) => {
    const twin = stream.family === chosen.family && stream.factor && !stream.before;
    return twin ? stream.plain.match(/\(([^()]*)\)$/)?.[1] ?? data.factors[stream.factor] : stream.name;
  };
  const value = (line) => Object.assign(line, { said: element("b", "") }).said;
  let current = [];
  const describe = (shown) => {
    current = shown;
    byId("says").textContent = chosen.says;
    const others = shown.filter((line) => line.number !== undefined).map((line) => ` Beside it: ${line.label}. ${streams[line.number].says}`);
    byId("staircase").setAttribute("aria-label", `Events received over time. ${chosen.name}: ${chosen.says}${others.join("")}`);
    const most = gapsOf(chosen).reduce((high, [, y]) => Math.max(high, y), 0);
    byId("gaps").setAttribute("aria-label", `Time between events. ${chosen.name}: at most ${inWords(most)}.`);
    const thinned = `Of this stream's ${chosen.events.toLocaleString("en")} events one in ${chosen.stride} is drawn, and the time between those.`;
    byId("thinned").textContent = chosen.stride > 1 ? thinned : "";
    for (const details of document.querySelectorAll(".points")) {
      details.open = false;
      details.querySelector(".scroll")?.remove();
    }
  };
  const pointAt = (plot) => {
    const at = plot.cursor.left >= 0 ? plot.posToVal(plot.cursor.left, "x") : null;
    for (const { said, data: [xs, ys] } of current) {
      let low = 0, high = xs.length;
      while (low < high) {
        const middle = (low + high) >> 1;
        if (xs[middle] <= at) low = middle + 1;
        else high = middle;
      }
      const text = at === null || low === 0 ? "" : ys[low - 1].toLocaleString("en");
      if (said && said.textContent !== text) said.textContent = text;
    }
    byId("range").textContent = at === null ? `${inWords(range[0])} to ${inWords(range[1])}` : `at ${inWords(at)}`;
  };
  const delay = (stream, index) => stream.besideIs?.startsWith("sent") ? stream.received[index] - stream.beside[index] : NaN;
  const gap = (stream, index) => stream.received[index] - (stream.received[index - 1] ?? 0);
  const tables = {
    staircase: [["Event", "Received", "Sent or due"], (stream, index) => [stream.received[index], stream.beside[index]]],
    gaps: [["Event", "Since the one before", "Delay"], (stream, index) => [gap(stream, index), delay(stream, index)]],
  };
  for (const details of document.querySelectorAll(".points")) {
    details.addEventListener("toggle", () => {
      if (!details.open || details.querySelector(".scroll")) return;
      const [heads, row] = tables[details.dataset.points], body = element("tbody", null), stream = chosen;
      stream.received.slice(0, MAX_ROWS).forEach((_, index) => {
        const cells = row(stream, index).map((seconds) => element("td", Number.isFinite(seconds) ? `${seconds.toFixed(4)}s` : "–"));
        body.append(element("tr", null, element("td", String(nth(stream, index, stream.events))), ...cells));
      });
      const head = element("thead", null, element("tr", null, ...heads.map((text) => element("th", text))));
      const box = element("div", null, element("table", null, head, body));
      if (stream.received.length > MAX_ROWS) box.append(element("p", `The first ${MAX_ROWS} of ${stream.received.length.toLocaleString("en")}.`));
      box.className = "scroll";
      box.tabIndex = 0;
      details.append(box);
    });
  }

  /* Choosing. Offered to be laid over are the streams of the same family: one thing about each is different. */
  const offers = () => streams.filter((other) => other !== chosen && other.family === chosen.family)
    .sort((one, other) => rank(one) - rank(other)).map(({ number }) => number);
  const rank = (stream) => stream.before ? 1 : stream.factor ? 0 : stream.passed === chosen.passed ? 3 : 2;
  const telling = (number) => {
    const stream = streams[number];
    if (stream.before) return stream.plain === chosen.plain;
    if (stream.events === 0) return false;
    return stream.factor ? TELLING.includes(stream.factor) : stream.asked && stream.passed !== chosen.passed;
  };
  const oneOfEach = (seen = new Set()) => (number) => !streams[number].factor || (seen.size !== seen.add(streams[number].factor).size);
  const choose = (number, code = "") => {
    if (chosen !== streams[number] || !charts.staircase) {
      chosen = read(streams[number]);
      over = new Set(offers().filter(telling).filter(oneOfEach()).slice(0, 3));
      build();
    }
    marked = code;
    show(...whole);
    byId("stream").value = String(number);
    for (const option of byId("over").options) option.disabled = option.value === String(number);
    for (const row of document.querySelectorAll("tr.chosen")) row.classList.remove("chosen");
    for (const button of document.querySelectorAll(`td [data-stream="${number}"]`)) button.closest("tr").classList.add("chosen");
    waterfall(chosen);
  };
  const waterfall = (stream) => { // its row, where the table of connections has none
    byId("chosen-connection")?.remove();
    const table = document.querySelector("#connections tbody");
    if (!table || !stream.steps.length || table.querySelector(`[data-stream="${stream.number}"]`)) return;
    const start = stream.steps[0].from, scale = 1000 / (stream.end - start || 1);
    const bars = stream.steps.map(({ step, from, to }) => drawing("rect", {
      class: `step-${step}`, x: (from - start) * scale, y: 0, width: Math.max((to - from) * scale, 4), height: 14,
    }));
    const drawn = element("td", null, drawing("svg", { viewBox: "0 0 1000 14", preserveAspectRatio: "none", "aria-hidden": "true" }, ...bars));
    drawn.className = "bars";
    const columns = document.querySelectorAll("#connections th").length - 2;
    const cells = Array.from({ length: columns }, (_, step) => stream.steps.find((one) => one.step === step));
    const figures = cells.map((one) => element("td", one ? inWords(one.to - one.from) : "–"));
    const row = element("tr", null, element("td", `${stream.name} (its own scale)`), drawn, ...figures);
    row.id = "chosen-connection";
    row.className = "chosen";
    table.prepend(row);
  };
  const listed = (stream) => new Option(`${stream.asked ? SIGNS.get(stream.passed) : ""}${stream.name}`, stream.number);
  const SIGNS = new Map([[true, "✓ "], [false, "✕ "], [null, "? "]]);
  const KINDS = [
    ["Asked for", (stream) => !stream.before && stream.asked],
    ["Asked to explain", (stream) => !stream.before && !stream.asked],
    ["The run before", (stream) => stream.before],
  ];
  const groups = () => KINDS.map(([label, has]) => Object.assign(element("optgroup", null, ...streams.filter(has).map(listed)), { label }))
    .filter((group) => group.children.length);
  byId("stream").append(...groups());
  byId("over").append(new Option("another stream…", ""), ...groups());
  byId("stream").addEventListener("change", (event) => choose(Number(event.target.value)));
  byId("lay").addEventListener("click", () => { // not on change: arrow keys change a select at each press
    const { value } = byId("over");
    if (value === "" || streams[Number(value)] === chosen) return;
    over.add(Number(value));
    byId("over").value = "";
    build();
  });
  byId("log").addEventListener("change", (event) => { logarithmic = event.target.checked; build(); });
  for (const button of document.querySelectorAll("[data-move]")) button.addEventListener("click", () => moves[button.dataset.move]());
  for (const button of document.querySelectorAll("[data-stream]")) {
    button.addEventListener("click", () => {
      choose(Number(button.dataset.stream), button.dataset.mark);
      byId("charts").scrollIntoView({ block: "start" });
      byId("staircase").focus({ preventScroll: true });
    });
  }
  for (const id of ["staircase", "gaps"]) {
    byId(id).addEventListener("keydown", (event) => {
      if (event.ctrlKey || event.metaKey || event.altKey) return;
      if (event.key === "Escape") { marked = ""; charts.staircase.redraw(false); }
      else if (keys[event.key]) { event.preventDefault(); moves[keys[event.key]](); }
    });
  }
  for (const medium of ["(prefers-color-scheme: dark)", "print"]) matchMedia(medium).addEventListener("change", () => {
    palette = {};
    for (const plot of Object.values(charts)) plot.redraw(false, true);
  });
  new ResizeObserver(() => {
    for (const [id, plot] of Object.entries(charts)) plot.setSize(sizeOf(byId(id)));
  }).observe(byId("staircase"));
  choose(Number(byId("charts").dataset.first));
})();
