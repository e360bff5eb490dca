// The settings of a profile: groups and conditions of the filter come and go, each condition says whether it is
// understood, and the preview says what saving would do.
(function () {
  "use strict";
  var form = document.getElementById("profile");
  var groups = document.getElementById("groups");
  var preview = document.getElementById("preview");
  var addGroup = document.getElementById("add-group");
  // Who may not edit is offered nothing to change.
  if (!form || !addGroup) return;

  // -- groups and conditions ---------------------------------------------------------------------------------------

  // A group with one condition in it: what a new group begins with.
  var blank = document.getElementById("blank");
  var next = groups.children.length + groups.querySelectorAll(".pair").length;

  function make(html, place) {
    place.insertAdjacentHTML("beforeend", html.replaceAll("NUMBER", String(next)));
    next += 1;
    var made = place.lastElementChild;
    window.htmx.process(made);
    made.querySelector("select").focus();
  }

  function number() {
    Array.from(groups.children).forEach(function (group, n) {
      var title = group.querySelector("[data-text]");
      title.textContent = title.dataset.text.replace("#", String(n + 1));
    });
  }

  addGroup.addEventListener("click", function () {
    make(blank.innerHTML, groups);
    number();
  });

  groups.addEventListener("click", function (event) {
    var button = event.target.closest("button");
    if (!button) return;
    var group = button.closest(".group");
    if ("add" in button.dataset) {
      make(blank.content.querySelector(".pair").outerHTML, group.querySelector(".pairs"));
    } else if ("remove" in button.dataset) {
      button.closest(".pair").remove();
      group.querySelector("[data-add]").focus();
      look();
    } else if ("removeGroup" in button.dataset) {
      var beside = group.previousElementSibling || group.nextElementSibling;
      group.remove();
      number();
      beside.querySelector("[data-add]").focus();
      look();
    }
  });

  document.addEventListener("htmx:afterSwap", function (event) {
    var feedback = event.detail.target;
    if (!feedback.classList.contains("feedback")) return;
    var input = feedback.closest(".pair").querySelector("input");
    if (feedback.querySelector(".wrong")) input.setAttribute("aria-invalid", "true");
    else input.removeAttribute("aria-invalid");
  });

  // -- preview ----------------------------------------------------------------------------------------------------

  var looked = sent();
  var timer = 0;
  var open = [];

  function sent() {
    return new URLSearchParams(new FormData(form)).toString();
  }

  // Leaving a text reports a change once more; what was looked at already would only close the lists.
  function look() {
    clearTimeout(timer);
    timer = setTimeout(function () {
      if (sent() === looked) return;
      looked = sent();
      window.htmx.trigger(preview, "look");
    }, 400);
  }

  form.addEventListener("input", look);
  form.addEventListener("change", look);

  function lists() {
    return Array.from(preview.querySelectorAll("details[data-list]"));
  }

  document.addEventListener("htmx:beforeSwap", function (event) {
    if (event.detail.target !== preview) return;
    open = lists().filter(function (list) { return list.open; }).map(function (list) { return list.dataset.list; });
  });
  document.addEventListener("htmx:afterSwap", function (event) {
    if (event.detail.target !== preview) return;
    lists().forEach(function (list) { list.open = open.includes(list.dataset.list); });
  });

  // -- connection check -------------------------------------------------------------------------------------------

  // A task of Airflow checks, since it runs where the sync runs: its network, its secrets.
  var check = document.getElementById("check");
  var words = check ? check.dataset : {};
  var dag = "dags/contact_sync_check/";
  var PAUSE = 1500;
  var LONG = 20000;
  var LONGEST = 600000;

  function pause() {
    return new Promise(function (resolve) { setTimeout(resolve, PAUSE); });
  }

  function linkTo(id) {
    return { href: window.contactSync.root + dag + "runs/" + encodeURIComponent(id), text: words.open };
  }

  // Waits for the end of a run; says so when Airflow does not begin with it.
  async function finish(id) {
    var warned = false;
    for (var waited = 0; waited < LONGEST; waited += PAUSE) {
      await pause();
      var run = await window.contactSync.airflow("GET", dag + "dagRuns/" + encodeURIComponent(id));
      if (run.state === "success" || run.state === "failed") return;
      if (run.state === "queued" && waited > LONG && !warned) {
        warned = true;
        window.contactSync.announce(words.waits, "bad", linkTo(id));
      }
    }
  }

  if (check) {
    check.addEventListener("click", async function () {
      check.disabled = true;
      try {
        var conf = { profiles: [words.profile] };
        var run = await window.contactSync.airflow("POST", dag + "dagRuns", { logical_date: null, conf: conf });
        window.contactSync.announce(words.begun, "good", linkTo(run.dag_run_id));
        await finish(run.dag_run_id);
        var address = words.address + "?run=" + encodeURIComponent(run.dag_run_id);
        await window.htmx.ajax("GET", address, "#checked");
        document.getElementById("notice").textContent = "";
        window.htmx.trigger("#status", "look");
      } catch (error) {
        window.contactSync.announce(words.refused + " " + error.message, "bad");
      } finally {
        check.disabled = false;
      }
    });
  }
})();
