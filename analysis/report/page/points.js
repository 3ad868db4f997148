"use strict";
// Figures without a step axis: probe outcomes as dots, loss against LLC as paths.
R.draw.dots = (figure) => {
  const rows = figure.axis.rows, height = 54;
  const place = new Map(rows.map((r, i) => [r.key, -i]));
  const arms = [...new Set(figure.series.filter((s) => s.color >= 0).map((s) => s.color))].sort();
  const offset = (color) => -0.06 - 0.2 * (arms.indexOf(color) / Math.max(1, arms.length - 1));
  const pooled = new Set(figure.series.filter((s) => s.role === "mean").map((s) => s.color));
  const traces = figure.series.map((s) => R.dotTrace(s, place, offset, pooled.has(s.color)));
  const [low, high] = figure.panels[0].range || [0, 1], wide = high - low;
  const ticks = [0, 0.25, 0.5, 0.75, 1].map((share) => low + share * wide);
  return {
    traces,
    layout: R.layout({
      height: rows.length * height + 46, margin: { l: 14, r: 14, t: 6, b: 40 },
      hovermode: "closest",
      xaxis: { range: [low - 0.03 * wide, high + 0.03 * wide], tickvals: ticks, fixedrange: true,
        ticktext: ticks.map(String), zeroline: false, gridcolor: R.css("--rule"),
        title: { text: R.esc(figure.x_title), font: { size: 12 }, standoff: 6 } },
      yaxis: { range: [-rows.length + 0.5, 0.6], visible: false, fixedrange: true },
      annotations: rows.map((r, i) => ({
        xref: "x domain", x: 0, xanchor: "left", y: -i + 0.3, yref: "y", showarrow: false,
        text: `<b>${R.esc(r.title)}</b>  <span style="color:${R.css("--ink-3")}">` +
          `${R.esc(r.metric)}</span>`, font: { size: 12, color: R.css("--ink") } })),
      shapes: rows.map((_, i) => ({ type: "line", xref: "x", x0: low, x1: high, y0: -i - 0.16,
        y1: -i - 0.16, layer: "below", line: { width: 1, color: R.css("--rule-2") } })),
    }),
  };
};

R.dotTrace = (s, place, offset, pooled) => {
  const base = s.color < 0, small = pooled && s.role === "seed";
  const color = R.color(s.color);
  const y = s.x.map((p) => place.get(p) + (base ? -0.16 : offset(s.color)));
  const known = s.low.length > 0 && !small;
  const part = (end, sign) => s.y.map((v, i) =>
    v === null || s[end][i] === null ? 0 : Math.max(0, sign * (s[end][i] - v)));
  return {
    x: s.y, y, type: "scatter", mode: "markers", meta: base ? "baseline" : "line",
    error_x: known ? { type: "data", symmetric: false, array: part("high", 1),
      arrayminus: part("low", -1), color: R.fade(color, 0.6), thickness: 3, width: 0 }
      : undefined,
    marker: base
      ? { symbol: "line-ns", size: 18, line: { width: 2, color: color } }
      : { size: small ? 6 : 12, color: color, opacity: small ? 0.45 : 1,
        line: { width: small ? 0 : 1.5, color: R.css("--paper") } },
    customdata: s.x.map((p, i) => `${R.who(s)}: <b>${R.num(s.y[i], 3)}</b>${R.interval(s, i)}` +
      (s.n.length && s.n[i] !== null ? ` (n = ${s.n[i]})` : "")),
    hovertemplate: "%{customdata}<extra></extra>", cliponaxis: false,
  };
};

R.draw.path = (figure, width) => {
  const panel = figure.panels[0], range = R.span(panel, figure.series);
  const pooled = new Set(figure.series.filter((s) => s.role === "mean").map((s) => s.color));
  const many = figure.series.length - pooled.size > 4;
  const main = figure.series.filter((s) => s.role === "mean" || !pooled.has(s.color));
  const traces = figure.series.map((s) => R.pathTrace(s, main.includes(s), many, panel));
  const falling = /loss/.test(figure.x_title);
  return {
    traces,
    layout: R.layout({
      height: panel.height + 70, margin: { l: 40, r: width < 480 ? 30 : 80, t: 26, b: 46 },
      hovermode: "closest",
      xaxis: { autorange: falling ? "reversed" : true, fixedrange: true, zeroline: false,
        gridcolor: R.css("--rule"),
        title: { text: R.esc(figure.x_title), font: { size: 12 }, standoff: 8 } },
      yaxis: R.valueAxis(panel, range, [0, 1]),
      annotations: [R.panelTitle(panel, "y", width), ...R.panelMissing(panel, "y"),
        ...(main.length > 8 ? [] : main.map((s) => R.pathLabel(s)).filter(Boolean))],
    }),
  };
};

R.pathTrace = (s, main, many, panel) => {
  const keep = s.x.map((_, i) => i).filter((i) => s.x[i] !== null && s.y[i] !== null);
  const base = { x: keep.map((i) => s.x[i]), y: keep.map((i) => s.y[i]), type: "scatter",
    meta: "line", cliponaxis: false, hovertemplate: "%{customdata}<extra></extra>",
    customdata: keep.map((i) => `${R.who(s)}, step ${R.steps(s.step[i])}<br>` +
      `${R.esc(panel.title)} <b>${R.num(s.y[i])}</b>${R.interval(s, i)}, across ${R.num(s.x[i])}`) };
  const color = R.color(s.color), last = keep.length - 1;
  if (!main) return { ...base, mode: "lines", line: { color: R.fade(color, many ? 0.22 : 0.4),
    width: 1 } };
  const bad = (i) => s.flag.length && s.flag[i] !== "ok";
  const end = (k) => k === 0 || k === last;
  return { ...base, mode: "lines+markers", line: { color: R.fade(color, 0.6), width: 1.8 },
    error_y: { type: "data", color: R.fade(color, 0.35), thickness: 1, width: 0,
      array: keep.map((i) => (s.low[i] === null ? 0 : s.high[i] - s.y[i])) },
    marker: {
      size: keep.map((i, k) => (end(k) || bad(i) ? 10 : last > 30 ? 4 : 6)),
      color: keep.map((i, k) => (k === 0 || bad(i) ? R.css("--paper") : color)),
      symbol: keep.map((i) => (bad(i) ? "diamond" : "circle")),
      line: { width: keep.map((i, k) => (k === 0 || bad(i) ? 2 : 0)),
        color: keep.map((i) => (bad(i) ? R.css("--ink") : color)) },
    } };
};

R.pathLabel = (s) => {
  const last = s.y.findLastIndex((v, i) => v !== null && s.x[i] !== null);
  return last < 0 ? null : { x: s.x[last], y: s.y[last], xanchor: "left", xshift: 9,
    showarrow: false, text: R.short(s.name, 16), font: { size: 12, color: R.color(s.color) } };
};
