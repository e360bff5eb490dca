// What cannot wait until the page is there: that nothing is lost meanwhile, and Airflow's theme.
(function () {
  "use strict";
  var root = document.documentElement;

  // -- the first moment -------------------------------------------------------------------------------------------

  // The scripts come after the controls: what a person does in between is done again once they are there.
  var kinds = ["click", "input", "change"];
  var early = [];

  function keep(event) {
    var isClick = event.type === "click";
    var control = isClick ? event.target.closest("button") : event.target;
    if (!control) return;
    if (isClick) {
      event.preventDefault();
      event.stopImmediatePropagation();
    }
    early.push({ control: control, kind: event.type });
  }

  function again(each) {
    if (each.kind === "click") each.control.click();
    else each.control.dispatchEvent(new Event(each.kind, { bubbles: true }));
  }

  kinds.forEach(function (kind) { document.addEventListener(kind, keep, true); });
  document.addEventListener("DOMContentLoaded", function () {
    kinds.forEach(function (kind) { document.removeEventListener(kind, keep, true); });
    // htmx begins in this event too, and is behind.
    setTimeout(function () { early.forEach(again); });
  });

  // -- theme ------------------------------------------------------------------------------------------------------

  // Airflow's, before anything is drawn, and followed when it is switched.
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
