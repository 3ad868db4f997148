"use strict";
// Draws figures, opens sections, fills tables when they are opened, and follows the theme.
R.figures = () => [...document.querySelectorAll(".plot[data-figure]")];

R.folds = () => [...document.querySelectorAll("details.fold")];
R.hidden = (plot) => plot.closest("details.fold:not([open])") !== null; // has no width to draw in

R.show = (plot) => {
  const figure = R.data(plot.dataset.figure);
  const { traces, layout } = R.draw[figure.kind](figure, plot.clientWidth);
  const config = { ...R.config };
  return Plotly.react(plot, traces, layout, config).then(() => {
    plot.dataset.drawn = "true";
    plot.style.minHeight = "";
  });
};

R.showAll = () => {
  R.figures().forEach((plot) => delete plot.dataset.drawn);
  return Promise.all(R.figures().filter((plot) => !R.hidden(plot)).map(R.show)).then(() => {
    document.documentElement.dataset.drawn = "true";
  });
};

// Figures of a section are drawn when it is opened: a closed one has no width.
R.opened = (fold) => Promise.all([...fold.querySelectorAll(".plot[data-figure]")]
  .filter((plot) => fold.open && plot.dataset.drawn !== "true").map(R.show));

R.unfold = (open) => {
  for (const fold of R.folds()) fold.open = open;
  const button = document.getElementById("unfold");
  button.setAttribute("aria-pressed", String(open));
  button.textContent = open ? "Close all sections" : "Open all sections";
  return Promise.all(R.folds().map(R.opened));
};

R.follow = (hash) => {
  const target = hash.length > 1 && document.getElementById(decodeURIComponent(hash.slice(1)));
  const folds = target ? R.folds().filter((fold) => fold.contains(target)) : [];
  folds.forEach((fold) => { fold.open = true; });
  if (folds.length) Promise.all(folds.map(R.opened)).then(() => target.scrollIntoView());
};

R.fill = (details) => {
  const box = details.querySelector(".table-box");
  if (!details.open || box.childElementCount) return;
  const figure = R.data(details.dataset.table);
  box.append(R.table(R.columns, R.rows(figure), `Numbers of the figure: ${figure.title}`));
  if (figure.marks.length) {
    box.append(R.table(["series", "status", "run", "kind", "step", "from", "to"],
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
  for (const fold of R.folds()) fold.addEventListener("toggle", () => R.opened(fold));
  const button = document.getElementById("unfold");
  button.addEventListener("click", () => R.unfold(button.getAttribute("aria-pressed") !== "true"));
  window.addEventListener("hashchange", () => R.follow(location.hash));
  for (const link of document.querySelectorAll("a[href^='#']")) {
    link.addEventListener("click", () => R.follow(link.getAttribute("href")));
  }
  let before = [];
  window.addEventListener("beforeprint", () => {
    before = R.folds().filter((fold) => !fold.open);
    before.forEach((fold) => { fold.open = true; R.opened(fold); });
  });
  window.addEventListener("afterprint", () => before.forEach((fold) => { fold.open = false; }));
  let width = window.innerWidth, timer = 0;
  window.addEventListener("resize", () => {
    clearTimeout(timer);
    timer = setTimeout(() => {
      if (window.innerWidth !== width) { width = window.innerWidth; R.showAll(); }
    }, 150);
  });
  return R.showAll().then(() => R.follow(location.hash));
};

R.start();
