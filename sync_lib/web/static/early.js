// What cannot wait until the page is there: Airflow's theme, and that no click is lost meanwhile.
(function () {
  "use strict";
  var root = document.documentElement;

  // The scripts come after the controls, and a click between the two would do nothing.
  root.dataset.loading = "";
  document.addEventListener("DOMContentLoaded", function () { delete root.dataset.loading; });

  // The theme is taken over before anything is drawn, and followed when it is switched.
  var dark = window.matchMedia("(prefers-color-scheme: dark)");

  function airflowRoot() {
    // Another origin's document cannot be read; then we are not in Airflow's frame.
    try {
      return window.parent !== window ? window.parent.document.documentElement : null;
    } catch (error) {
      return null;
    }
  }

  function stored() {
    try {
      return window.localStorage.getItem("theme") || "";
    } catch (error) {
      return "";
    }
  }

  function theme() {
    var outer = airflowRoot();
    if (outer && outer.classList.contains("dark")) return "dark";
    if (outer && outer.classList.contains("light")) return "light";
    var chosen = stored();
    if (chosen === "dark" || chosen === "light") return chosen;
    return dark.matches ? "dark" : "light";
  }

  function apply() {
    root.dataset.theme = theme();
  }

  apply();
  dark.addEventListener("change", apply);
  window.addEventListener("storage", apply);
  var outer = airflowRoot();
  if (outer) {
    root.dataset.embedded = "";
    new MutationObserver(apply).observe(outer, { attributes: true, attributeFilter: ["class"] });
  }
})();
