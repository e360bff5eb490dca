// The buttons on a profile's page that start a run of it, and what the page shows while the run is at work.
(function () {
  "use strict";
  var doing = document.getElementById("doing");
  if (!doing) return;
  var PAUSE = 3000;
  var LONGEST = 1800000;
  var words = doing.dataset;
  var dag = "dags/contact_sync/";

  function pause() {
    return new Promise(function (resolve) { setTimeout(resolve, PAUSE); });
  }

  function confOf(how) {
    return { mode: how === "full" ? "full" : "incremental", dry_run: how === "plan", profiles: [words.profile] };
  }

  function look() {
    window.htmx.trigger("#status", "look");
  }

  // Looks until the run is over: the page knows of it only once it has begun.
  async function follow(id) {
    for (var waited = 0; waited < LONGEST; waited += PAUSE) {
      await pause();
      var run = await window.contactSync.airflow("GET", dag + "dagRuns/" + encodeURIComponent(id));
      look();
      if (run.state === "success" || run.state === "failed") return;
    }
  }

  function offer(can) {
    doing.querySelectorAll("[data-start]").forEach(function (button) { button.disabled = !can; });
  }

  async function start(how) {
    offer(false);
    try {
      var run = await window.contactSync.airflow("POST", dag + "dagRuns", { logical_date: null, conf: confOf(how) });
      var link = window.contactSync.root + dag + "runs/" + encodeURIComponent(run.dag_run_id);
      window.contactSync.announce(words.started, "good", { href: link, text: words.open });
      offer(true);
      await follow(run.dag_run_id);
    } catch (error) {
      window.contactSync.announce(words.refused + " " + error.message, "bad");
      offer(true);
    }
  }

  doing.addEventListener("click", function (event) {
    var button = event.target.closest("[data-start], [data-check]");
    if (!button) return;
    if (button.dataset.start) {
      start(button.dataset.start);
      return;
    }
    document.getElementById("connection").scrollIntoView();
    document.getElementById("check").click();
  });
})();
