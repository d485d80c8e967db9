// Light or dark: as the system has it, unless somebody chose. Runs before the page is painted.
(() => {
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const root = document.documentElement;
  const words = { auto: "Theme: system", light: "Theme: light", dark: "Theme: dark" };

  const chosen = () => {
    try {
      return localStorage.getItem("theme") || "auto";
    } catch {
      return "auto"; // a browser that keeps nothing
    }
  };

  function show(choice) {
    root.dataset.theme = choice === "auto" ? (dark.matches ? "dark" : "light") : choice;
    const button = document.getElementById("theme");
    if (button) button.textContent = words[choice];
  }

  let choice = chosen();
  show(choice);
  dark.addEventListener("change", () => show(choice));
  addEventListener("DOMContentLoaded", () => {
    show(choice);
    document.getElementById("theme")?.addEventListener("click", () => {
      const all = Object.keys(words);
      choice = all[(all.indexOf(choice) + 1) % all.length];
      try {
        localStorage.setItem("theme", choice);
      } catch {
        // it lasts until the page is left
      }
      show(choice);
    });
  });
})();
