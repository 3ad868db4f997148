"use strict";
// Axes, titles, direct labels and marks of figures over environment steps.
R.stepAxis = (axis, width, title) => {
  const room = Math.max(2, Math.floor((width - 60) / 44));
  const zero = axis.ticks.filter((t) => axis.cut !== null && t.at === axis.zero);
  const rest = axis.ticks.filter((t) => !zero.includes(t));
  const every = Math.ceil(rest.length / Math.max(1, room - 1));
  const ticks = [...zero, ...rest.filter((_, i) => i % every === 0)];
  return { range: axis.range, tickvals: ticks.map((t) => t.at), ticktext: ticks.map((t) => t.label),
    title: { text: title, font: { size: 12 }, standoff: 8 }, gridcolor: R.css("--rule"),
    zeroline: false, ticks: "outside", ticklen: 4, tickcolor: R.css("--rule-2"), fixedrange: true,
    showline: false, showspikes: true, spikemode: "across", spikethickness: 1, spikedash: "solid",
    spikecolor: R.css("--rule-2"), spikesnap: "data", unifiedhovertitle: undefined };
};

// Ticks at 1, 2 and 5 of each decade, where there are few decades, else at each decade.
R.decades = ([low, high]) => {
  const steps = high - low > 3 ? [1] : [1, 2, 5], ticks = [];
  for (let d = Math.floor(low); d <= high; d += 1) ticks.push(...steps.map((m) => m * 10 ** d));
  const shown = ticks.filter((v) => Math.log10(v) >= low && Math.log10(v) <= high);
  return { tickvals: shown, ticktext: shown.map((v) => R.num(v, 3)) };
};

R.valueAxis = (panel, range, domain) => {
  const share = range[0] === 0 && range[1] === 1;
  return { domain, range: share ? [-0.06, 1.06] : range, fixedrange: true, zeroline: false,
    gridcolor: R.css("--rule"), nticks: Math.max(3, Math.round(panel.height / 36)),
    ...(panel.log ? { type: "log", ...R.decades(range) } : {}), ...(share ? { tickvals: [0, 0.5, 1], ticktext: ["0", "½", "1"] } : {}),
    tickfont: { size: 11 } };
};

R.panelTitle = (panel, yaxis, width) => ({
  xref: "x domain", x: 0, xanchor: "left", yref: yaxis + " domain", y: 1, yanchor: "bottom",
  yshift: 3, showarrow: false, align: "left",
  text: `<b>${R.esc(panel.title)}</b>` + (R.fits(panel, width)
    ? `  <span style="color:${R.css("--ink-3")}">${R.esc(panel.y_label)}</span>` : ""),
  font: { size: 12, color: R.css("--ink") },
});

R.fits = (panel, width) => 6.4 * (panel.title.length + panel.y_label.length) + 60 < width;

R.panelMissing = (panel, yaxis) => !panel.missing ? [] : [{
  xref: "x domain", x: 0.5, yref: yaxis + " domain", y: 0.5, showarrow: false,
  text: R.esc(panel.missing), font: { size: 12, color: R.css("--ink-3") },
}];

// Runs few enough for a label per panel at the pointer.
R.calm = (figure) => new Set(figure.series.map((s) => s.run)).size <= 4;

R.labeled = (figure) => new Set(figure.series.map((s) => s.color).filter((c) => c >= 0)).size > 1 && !figure.arm;

R.endMargin = (figure, width) => {
  if (!R.labeled(figure)) return 14;
  const longest = Math.max(...figure.series.map((s) => s.name.length));
  return Math.min(16 + 7 * longest, width < 480 ? 84 : 150);
};

R.endLabels = (figure, own, range, yaxis, { height, log }) => {
  if (!R.labeled(figure) || height < 80) return [];  // the panel above has the names
  const best = new Map();
  for (const s of own) {
    if (s.role === "baseline" || s.note || !s.y.some((v) => v !== null)) continue;
    if (!best.has(s.name) || s.role === "mean") best.set(s.name, s);
  }
  const labels = [...best.values()].map((s) => {
    const last = s.y.findLastIndex((v) => v !== null);
    return { s, x: R.position(figure.axis, s.x[last]), y: log ? Math.log10(s.y[last]) : s.y[last] };
  }).sort((a, b) => a.y - b.y);
  const step = ((range[1] - range[0]) * 15) / height;
  let floor = -Infinity, ceiling = range[1];  // Plotly leaves out what lies beyond the range
  for (const label of labels) floor = label.y = Math.max(label.y, floor + step);
  for (const label of labels.reverse()) ceiling = (label.y = Math.min(label.y, ceiling)) - step;
  return labels.map(({ s, x, y }) => ({
    x, xref: "x", y, yref: yaxis, xanchor: "left", xshift: 8, showarrow: false,
    text: R.short(s.name, 18), font: { size: 12, color: R.color(s.color) },
  }));
};

R.short = (text, size) => R.esc(text.length > size ? text.slice(0, size - 1) + "…" : text);

// Transitions: a triangle in the panel of their series, the way from plateau to plateau behind it, the paler the more
// there are in the panel, and a fine line through the whole figure where the arm has few of them.
R.panelMarks = (figure, panel, range, yaxis, layout, traces) => {
  const own = figure.marks.filter((m) => m.panel === panel.key);
  if (!own.length) return;
  const ink = R.css("--mark"), few = figure.marks.length <= 16;
  for (const m of own) {
    const at = R.position(figure.axis, m.step);
    if (m.low !== null && m.high !== null) {
      layout.shapes.push({ type: "rect", layer: "below", xref: "x", yref: yaxis + " domain",
        x0: R.position(figure.axis, m.low), x1: R.position(figure.axis, m.high), y0: 0, y1: 1,
        fillcolor: R.fade(ink, Math.min(0.1, 0.5 / own.length)), line: { width: 0 } });
    }
    if (few) layout.shapes.push({ type: "line", layer: "below", xref: "x", yref: "paper", x0: at,
      x1: at, y0: 0, y1: 1, line: { width: 1, dash: "2px,3px", color: R.fade(ink, 0.55) } });
  }
  const top = range[1] === 1 && range[0] === 0 ? 1.0 : range[1] - 0.05 * (range[1] - range[0]);
  traces.push({ x: own.map((m) => R.position(figure.axis, m.step)), y: own.map(() => top),
    yaxis, type: "scatter", mode: "markers", meta: "mark", cliponaxis: false,
    marker: { size: 9, color: ink, opacity: few ? 1 : 0.5,
      symbol: own.map((m) => (m.kind === "fall" ? "triangle-down" : "triangle-up") +
        (m.status ? "-open" : "")) },
    customdata: own.map((m) => `transition: ${R.esc(m.kind)} of ${R.esc(m.series)} from ` +
      `${R.steps(Math.round(m.low))} to ${R.steps(Math.round(m.high))}` +
      (m.status ? `, ${R.esc(m.status)}` : "")),
    hovertemplate: "%{customdata}<extra></extra>" });
};

// Two strokes on the axis between step 0 and the first step on the log scale.
R.axisBreak = (figure, layout) => {
  const ink = R.css("--ink-3"), [x0, x1] = figure.axis.range;
  const base = { xref: "x", yref: "paper", y0: 0, y1: 0, type: "line", line: { width: 1, color: ink } };
  if (figure.axis.cut === null) { layout.shapes.push({ ...base, x0, x1 }); return; }
  const cut = figure.axis.cut, gap = 0.006 * (x1 - x0);
  layout.shapes.push({ ...base, x0, x1: cut - gap }, { ...base, x0: cut + gap, x1 });
  for (const side of [-1, 1]) {
    layout.shapes.push({ type: "line", xref: "x", yref: "paper", ysizemode: "pixel", yanchor: 0,
      x0: cut + side * gap - gap, x1: cut + side * gap + gap, y0: -5, y1: 5,
      line: { width: 1, color: ink } });
  }
};
