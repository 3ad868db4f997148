"use strict";
// Draws every figure, fills tables when they are opened, and follows the theme.
R.figures = () => [...document.querySelectorAll(".plot[data-figure]")];

R.show = (plot) => {
  const figure = R.data(plot.dataset.figure);
  const { traces, layout } = R.draw[figure.kind](figure, plot.clientWidth);
  const config = { ...R.config };
  return Plotly.react(plot, traces, layout, config).then(() => {
    plot.dataset.drawn = "true";
    plot.style.minHeight = "";
  });
};

R.showAll = () => Promise.all(R.figures().map(R.show)).then(() => {
  document.documentElement.dataset.drawn = "true";
});

R.fill = (details) => {
  const box = details.querySelector(".table-box");
  if (!details.open || box.childElementCount) return;
  const figure = R.data(details.dataset.table);
  box.append(R.table(R.columns, R.rows(figure), `Numbers of the figure: ${figure.title}`));
  if (figure.marks.length) {
    box.append(R.table(["series", "detector", "run", "kind", "step", "low", "high"],
      R.markRows(figure), "Transitions marked in the figure"));
  }
};

R.theme = (choice) => {
  const root = document.documentElement;
  if (choice) root.dataset.theme = choice;
  const dark = root.dataset.theme
    ? root.dataset.theme === "dark"
    : window.matchMedia("(prefers-color-scheme: dark)").matches;
  const button = document.getElementById("theme");
  button.setAttribute("aria-pressed", String(dark));
  button.textContent = dark ? "Light theme" : "Dark theme";
  return dark;
};

R.clip = (button) => {
  const card = button.closest(".clip"), film = card.querySelector(".film");
  const playing = film.hidden;
  film.hidden = !playing;
  if (playing && !film.src) film.src = "data:image/gif;base64," +
    document.getElementById(film.dataset.gif).textContent.trim();
  button.textContent = playing ? "Hide clip" : "Play clip";
  button.setAttribute("aria-expanded", String(playing));
};

R.start = () => {
  R.theme();
  document.getElementById("theme").addEventListener("click", () => {
    R.theme(R.theme() ? "light" : "dark");
    R.showAll();
  });
  window.matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => {
    R.theme();
    R.showAll();
  });
  for (const details of document.querySelectorAll("details[data-table]")) {
    details.addEventListener("toggle", () => R.fill(details));
  }
  for (const button of document.querySelectorAll("button[data-csv]")) {
    button.addEventListener("click", () => {
      const figure = R.data(button.dataset.csv);
      R.download(`${figure.id}.csv`, R.csv(R.columns, R.rows(figure)), "text/csv");
    });
  }
  for (const button of document.querySelectorAll("button[data-play]")) {
    button.addEventListener("click", () => R.clip(button));
  }
  let width = window.innerWidth, timer = 0;
  window.addEventListener("resize", () => {
    clearTimeout(timer);
    timer = setTimeout(() => {
      if (window.innerWidth !== width) { width = window.innerWidth; R.showAll(); }
    }, 150);
  });
  return R.showAll();
};

R.start();
