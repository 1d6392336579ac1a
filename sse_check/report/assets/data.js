// The data of the page, read from the JSON in #data that page_data.py made, and what builds elements of it: by text only.
"use strict";
const page = (() => {
  const PER_SECOND = 1e4; // times are carried as tenths of a millisecond
  const TINIEST = 1 / PER_SECOND;
  const SVG = "http://www.w3.org/2000/svg";
  const byId = (id) => document.getElementById(id);
  const carried = byId("data");
  if (!carried) return null;

  const times = (deltas) => { let at = 0; return deltas.map((delta) => (at += delta) / PER_SECOND); };
  const streamOf = (row, number) => {
    const [name, family, factor, asked, passed, end, stride, events, received, due, beside, besideIs, alive, marks, steps, says] = row;
    return { name, plain: name, family, factor, asked, passed, end: end / PER_SECOND, stride, events, due, besideIs, says, number,
      received, beside, alive, before: false,
      marks: marks.map(([code, text, from, to]) => ({ code, text, from: from / PER_SECOND, to: to / PER_SECOND })),
      steps: steps.map(([step, from, to]) => ({ step, from: from / PER_SECOND, to: to / PER_SECOND })) };
  };
  const read = (stream) => { // the series are decoded when they are looked at
    for (const series of stream.ready ? [] : ["received", "beside", "alive"]) stream[series] = times(stream[series]);
    return Object.assign(stream, { ready: true });
  };
  const data = JSON.parse(carried.textContent);
  const streams = [...data.streams, ...data.before].map(streamOf);
  for (const stream of streams.slice(data.streams.length)) Object.assign(stream, { before: true, name: `${stream.name} (the run before)` });
  const nth = (stream, index, total) => Math.min(index * stream.stride, total - 1) + 1; // which event a kept one is

  const inWords = (seconds) => {
    const size = Math.abs(seconds);
    if (size < 1) return `${+(seconds * 1000).toPrecision(3)}ms`;
    return size < 1000 ? `${+seconds.toPrecision(4)}s` : `${Math.round(seconds).toLocaleString("en")}s`;
  };
  const element = (name, text, ...children) => {
    const made = document.createElement(name);
    if (text !== null) made.textContent = text;
    made.append(...children);
    return made;
  };
  const drawing = (name, attributes, ...children) => {
    const made = document.createElementNS(SVG, name);
    for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
    made.append(...children);
    return made;
  };

  return { TINIEST, byId, data, drawing, element, inWords, nth, read, streams };
})();
