"use strict";
// Shared by all figures: data in the page, colors of the theme, tables and downloads.
const R = { draw: {} };

R.data = (id) => JSON.parse(document.getElementById("data-" + id).textContent);
R.css = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
R.color = (index) => (index < 0 ? R.css("--baseline") : R.css("--arm-" + (index % 8)));
R.esc = (text) => String(text).replace(/&/g, "&amp;").replace(/</g, "&lt;").replace(/>/g, "&gt;");
R.narrow = () => window.innerWidth < 640;
R.reduced = () => window.matchMedia("(prefers-reduced-motion: reduce)").matches;
R.fade = (hex, alpha) => {
  const n = parseInt(hex.slice(1), 16);
  return `rgba(${(n >> 16) & 255},${(n >> 8) & 255},${n & 255},${alpha})`;
};
R.num = (value, digits = 4) =>
  value === null || value === undefined ? "–" : String(Number(Number(value).toPrecision(digits)));
R.interval = (s, i) =>
  s.low.length && s.low[i] !== null ? ` [${R.num(s.low[i], 3)}, ${R.num(s.high[i], 3)}]` : "";
R.steps = (value) => Number(value).toLocaleString("en-US");
R.who = (s) => R.esc((s.role === "mean" && s.run === "" && s.n.length ? `${s.name}, mean of seeds`
  : s.run || s.name) + (s.note ? `, ${s.note}` : ""));
R.hollow = "hardly depends on the state";

// One row per plotted value: what the table shows and the download holds.
R.columns = ["panel", "series", "role", "run", "x", "step", "value", "low", "high", "n", "status"];
R.rows = (figure) => {
  const titles = Object.fromEntries(figure.panels.map((p) => [p.key, p.title || p.key]));
  return figure.series.flatMap((s) =>
    s.x.map((x, i) => {
      const steps = typeof x === "number" && !figure.axis.word;
      const step = s.step.length ? s.step[i] : steps ? x : "";
      const at = (list) => (list.length ? list[i] : null);
      const status = [at(s.flag), at(s.hollow) ? R.hollow : null].filter(Boolean).join(", ");
      return [titles[s.panel], s.note ? `${s.name}, ${s.note}` : s.name, s.role, s.run, x, step,
        s.y[i], at(s.low), at(s.high), at(s.n), status || null];
    }));
};
R.markRows = (figure) =>
  figure.marks.map((m) => [m.series, m.status, m.run, m.kind, m.step, m.low, m.high]);

R.csv = (columns, rows) => {
  const cell = (v) => {
    let text = v === null || v === undefined ? "" : String(v);
    if (typeof v === "string" && /^[=+\-@\t\r]/.test(text)) text = "'" + text; // no formulas
    return /[",\n\r]/.test(text) ? `"${text.replace(/"/g, '""')}"` : text;
  };
  return [columns, ...rows].map((row) => row.map(cell).join(",")).join("\r\n") + "\r\n";
};

R.download = (name, text, type) => {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([text], { type }));
  link.download = name;
  document.body.append(link);
  link.click();
  link.remove();
  setTimeout(() => URL.revokeObjectURL(link.href), 1000);
};

R.table = (columns, rows, caption) => {
  const table = document.createElement("table");
  table.createCaption().textContent = caption;
  const head = table.createTHead().insertRow();
  for (const name of columns) {
    const th = document.createElement("th");
    th.scope = "col";
    th.textContent = name;
    head.append(th);
  }
  const body = table.createTBody();
  for (const row of rows) {
    const tr = body.insertRow();
    for (const value of row) {
      const number = typeof value === "number";
      const td = tr.insertCell();
      td.textContent = number && !Number.isInteger(value) ? R.num(value) : value ?? "";
      if (number) td.className = "number";
    }
  }
  return table;
};

R.layout = (extra) => ({
  paper_bgcolor: "rgba(0,0,0,0)",
  plot_bgcolor: "rgba(0,0,0,0)",
  font: { family: R.css("--sans"), size: 12, color: R.css("--ink-2") },
  showlegend: false,
  dragmode: false,
  hoverlabel: {
    bgcolor: R.css("--card"), bordercolor: R.css("--rule-2"), align: "left",
    font: { family: R.css("--sans"), size: 12, color: R.css("--ink") },
  },
  ...extra,
});

R.config = {
  responsive: true,
  displaylogo: false,
  displayModeBar: false,
  doubleClick: "reset",
  scrollZoom: false,
};
