"use strict";
(() => {
  const root = document.documentElement;
  const [heading] = document.getElementsByTagName("h1");
  const [about, main, chooser, earlier, later, button] = ["about", "report", "month", "earlier", "later", "theme"].map(
    (id) => document.getElementById(id),
  );
  const dark = window.matchMedia("(prefers-color-scheme: dark)");
  let shown = chooser.value;

  // The months that are not shown wait in templates, so that ids stay unique.
  function show(month) {
    const store = (name) => document.getElementById(`month-${name}`).content;
    store(shown).replaceChildren(...main.childNodes);
    main.replaceChildren(...store(month).childNodes);
    shown = month;
    heading.textContent = chooser.selectedOptions[0].text;
    document.title = `${about.textContent}, ${heading.textContent}`;
    limit();
  }

  function limit() {
    earlier.disabled = chooser.selectedIndex === chooser.options.length - 1;
    later.disabled = chooser.selectedIndex === 0;
  }

  function step(by) {
    chooser.selectedIndex += by;
    show(chooser.value);
  }

  function theme(name) {
    root.style.colorScheme = name;
    button.textContent = name === "dark" ? "Use light theme" : "Use dark theme";
  }

  chooser.addEventListener("change", () => show(chooser.value));
  earlier.addEventListener("click", () => step(1));
  later.addEventListener("click", () => step(-1));
  button.addEventListener("click", () => theme(root.style.colorScheme === "dark" ? "light" : "dark"));
  dark.addEventListener("change", () => theme(dark.matches ? "dark" : "light"));
  theme(dark.matches ? "dark" : "light");
  limit();
  if (chooser.options.length < 2) [chooser, earlier, later].forEach((part) => part.remove());
  document.querySelector(".controls").hidden = false;
  document.getElementById("unscripted")?.remove();
})();
