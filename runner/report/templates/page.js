"use strict";
(() => {
  const figures = JSON.parse(document.getElementById("figures").textContent);
  const root = document.documentElement;
  const button = document.getElementById("theme");
  const dark = window.matchMedia("(prefers-color-scheme: dark)");
  const config = { displayModeBar: false, showTips: false, doubleClick: false };
  let theme = dark.matches ? "dark" : "light";

  function draw(name) {
    for (const [chart, figure] of Object.entries(figures[name])) {
      const place = document.getElementById(`chart-${chart}`);
      const size = { width: place.clientWidth, height: place.clientHeight };
      const font = { ...figure.layout.font, size: root.classList.contains("paper") ? 8.5 : 12 };
      Plotly.react(place, figure.data, { ...figure.layout, ...size, font }, config);
    }
  }

  function choose(name) {
    theme = name;
    root.style.colorScheme = name;
    button.setAttribute("aria-pressed", String(name === "dark"));
    draw(name);
  }

  document.getElementById("unscripted").remove();
  button.hidden = false;
  button.addEventListener("click", () => choose(theme === "dark" ? "light" : "dark"));
  dark.addEventListener("change", () => choose(dark.matches ? "dark" : "light"));
  window.addEventListener("resize", () => draw(theme));

  // On paper the page is light and of a fixed width, and charts do not resize by themselves.
  window.addEventListener("beforeprint", () => {
    root.classList.add("paper");
    root.style.colorScheme = "light";
    draw("light");
  });
  window.addEventListener("afterprint", () => {
    root.classList.remove("paper");
    choose(theme);
  });

  choose(theme);
})();
