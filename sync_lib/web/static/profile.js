// The filter of a profile: conditions come and go, and each says whether it is understood.
(function () {
  "use strict";
  var pairs = document.getElementById("pairs");
  var add = document.getElementById("add");
  if (!pairs || !add) return;
  var blank = document.getElementById("blank").innerHTML;
  var next = pairs.children.length;

  add.addEventListener("click", function () {
    pairs.insertAdjacentHTML("beforeend", blank.replaceAll("NUMBER", String(next)));
    next += 1;
    var made = pairs.lastElementChild;
    window.htmx.process(made);
    made.querySelector("select").focus();
  });

  pairs.addEventListener("click", function (event) {
    var button = event.target.closest("[data-remove]");
    if (!button) return;
    button.closest(".pair").remove();
    add.focus();
  });

  document.addEventListener("htmx:afterSwap", function (event) {
    var told = event.detail.target;
    if (!told.classList.contains("told")) return;
    var input = told.closest(".pair").querySelector("input");
    if (told.querySelector(".wrong")) input.setAttribute("aria-invalid", "true");
    else input.removeAttribute("aria-invalid");
  });
})();
