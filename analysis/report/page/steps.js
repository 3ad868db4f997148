"use strict";
// Figures over environment steps: stacked panels on one log axis with step 0 beside a break.
R.GAP = 34;

R.position = (axis, step) => (axis.linear ? step : step > 0 ? Math.log10(step) : axis.zero);
R.at = (axis, x) => (axis.word ? `${axis.word} ${R.num(x, 3)}` : `step ${R.steps(x)}`);

// Both ends of a panel's values; of their decimal logarithms where these are drawn.
R.span = (panel, series) => {
  if (panel.range) return panel.range;
  const own = series.filter((s) => s.panel === panel.key);
  const known = own.flatMap((s) => [...s.y, ...s.low, ...s.high]).filter((v) => v !== null);
  const values = panel.log ? known.filter((v) => v > 0).map(Math.log10) : known;
  if (!values.length) return [0, 1];
  const low = Math.min(...values), high = Math.max(...values);
  const pad = 0.08 * (high - low || Math.abs(high) || 1);
  return [panel.log || low < 0 ? low - pad : Math.max(0, low - pad), high + pad];
};

// Contiguous stretches of points that have a value; a line never crosses the axis break.
R.stretches = (s, axis) => {
  const out = [];
  let now = [];
  s.x.forEach((x, i) => {
    if (s.y[i] === null || s.flag[i] === "failed") return;
    const afterZero = !axis.linear && now.length && s.x[now[now.length - 1]] === 0;
    if (afterZero) { out.push(now); now = []; }
    now.push(i);
  });
  if (now.length) out.push(now);
  return out;
};

R.band = (axis, s, color, yaxis, alpha) => {
  const x = [], y = [];
  for (const all of R.stretches(s, axis)) {
    const part = all.filter((i) => s.low[i] !== null && s.high[i] !== null);
    if (part.length < 2) continue;
    const back = [...part].reverse();
    x.push(...part.map((i) => R.position(axis, s.x[i])),
      ...back.map((i) => R.position(axis, s.x[i])), null);
    y.push(...part.map((i) => s.low[i]), ...back.map((i) => s.high[i]), null);
  }
  return { x, y, yaxis, type: "scatter", mode: "lines", fill: "toself", hoverinfo: "skip",
    line: { width: 0 }, fillcolor: R.fade(color, alpha), meta: "band" };
};

R.whiskers = (axis, s, color, yaxis) => {
  const x = [], y = [];
  for (const part of R.stretches(s, axis)) {
    if (part.length !== 1 || s.low[part[0]] === null) continue;
    const at = R.position(axis, s.x[part[0]]);
    x.push(at, at, null);
    y.push(s.low[part[0]], s.high[part[0]], null);
  }
  return { x, y, yaxis, type: "scatter", mode: "lines", hoverinfo: "skip", meta: "whisker",
    line: { width: 5, color: R.fade(color, 0.28) } };
};

R.line = (axis, s, look, yaxis) => {
  const x = [], y = [], text = [], symbol = [];
  for (const part of R.stretches(s, axis)) {
    for (const i of part) {
      x.push(R.position(axis, s.x[i]));
      y.push(s.y[i]);
      const unsound = s.flag[i] && s.flag[i] !== "ok" ? ` – ${R.esc(s.flag[i])}` : "";
      text.push(`${R.at(axis, s.x[i])}: <b>${R.num(s.y[i])}</b>${R.interval(s, i)}` +
        ` ${R.who(s)}${unsound}${s.hollow[i] ? ` – ${R.hollow}` : ""}`);
      symbol.push(s.hollow[i] ? "circle-open" : "circle");
    }
    x.push(null); y.push(null); text.push(""); symbol.push("circle");
  }
  return { x, y, yaxis, type: "scatter", mode: look.mode, customdata: text, meta: "line",
    hovertemplate: "%{customdata}<extra></extra>", connectgaps: false, cliponaxis: false,
    line: { color: look.color, width: look.width, dash: look.dash },
    marker: { color: look.color, size: look.marker, symbol }, opacity: look.opacity };
};

R.unsound = (axis, s, floor, yaxis, bold) => {
  const bad = s.x.map((_, i) => i).filter((i) => s.flag[i] && s.flag[i] !== "ok");
  return { x: bad.map((i) => R.position(axis, s.x[i])), yaxis, type: "scatter", mode: "markers",
    y: bad.map((i) => (s.y[i] === null ? floor : s.y[i])), meta: "unsound", cliponaxis: false,
    customdata: bad.map((i) =>
      `${R.at(axis, s.x[i])}: ${R.esc(s.flag[i])} estimate, ${R.num(s.y[i])} ${R.who(s)}`),
    hovertemplate: "%{customdata}<extra></extra>",
    marker: { size: bold ? 11 : 6, opacity: bold ? 1 : 0.6, symbol: bad.map((i) =>
        (s.flag[i] === "failed" || s.y[i] === null ? "x-thin" : "diamond-open")),
      color: R.css("--ink"), line: { width: 1.8, color: R.css("--ink") } } };
};

R.seriesTraces = (figure, s, floor, yaxis, alone) => {
  const color = R.color(s.color), axis = figure.axis;
  if (s.role === "baseline") {
    return [{ x: s.x.map((v) => R.position(axis, v)), y: s.y, yaxis, type: "scatter",
      mode: "lines", meta: "baseline", line: { color: color, width: 1.5, dash: "4px,3px" },
      customdata: s.y.map((v) => `${R.esc(s.name)}: <b>${R.num(v, 3)}</b>`),
      hovertemplate: "%{customdata}<extra></extra>" }];
  }
  const bold = alone || s.role === "mean";
  const dots = bold && s.x.length < 70;
  const look = { mode: dots ? "lines+markers" : "lines", color, width: s.dash || !bold ? 1.2 : 2,
    dash: { dash: "6px,4px", dot: "2px,3px" }[s.dash], opacity: bold ? 1 : 0.35,
    marker: s.hollow.includes(true) ? 7 : s.dash || s.x.length > 30 ? 3.5 : 5 };
  const out = [R.line(axis, s, look, yaxis)];
  if (bold && s.low.length) out.unshift(R.band(axis, s, color, yaxis, s.dash ? 0.08 : 0.17),
    R.whiskers(axis, s, color, yaxis));
  if (s.flag.some((f) => f && f !== "ok")) out.push(R.unsound(axis, s, floor, yaxis, bold));
  return out;
};

R.draw.steps = (figure, width) => {
  const top = 24, bottom = 48;
  const inner = figure.panels.reduce((sum, p) => sum + p.height + R.GAP, -R.GAP);
  const layout = R.layout({
    height: inner + top + bottom, margin: { l: 40, r: R.endMargin(figure, width), t: top, b: bottom },
    hovermode: R.calm(figure) ? "x" : "closest", hoversubplots: "axis",
    shapes: [], annotations: [],
    xaxis: R.stepAxis(figure.axis, width, figure.x_title),
  });
  const traces = [];
  let y = 1;
  figure.panels.forEach((panel, i) => {
    const name = "y" + (i ? i + 1 : ""), range = R.span(panel, figure.series);
    const low = y - panel.height / inner;
    layout["yaxis" + (i ? i + 1 : "")] = R.valueAxis(panel, range, [Math.max(0, low), y]);
    y = low - R.GAP / inner;
    const own = figure.series.filter((s) => s.panel === panel.key);
    for (const s of own) {
      const alone = own.filter((o) =>
        o.role !== "baseline" && o.color === s.color && o.note === s.note).length === 1;
      const floor = panel.log ? 10 ** range[0] : range[0];
      traces.push(...R.seriesTraces(figure, s, floor, name, alone));
    }
    layout.annotations.push(R.panelTitle(panel, name, width), ...R.panelMissing(panel, name),
      ...R.endLabels(figure, own, range, name, panel));
    R.panelMarks(figure, panel, range, name, layout, traces);
  });
  R.axisBreak(figure, layout);
  layout.xaxis.anchor = "y" + (figure.panels.length > 1 ? figure.panels.length : "");
  return { traces, layout };
};
