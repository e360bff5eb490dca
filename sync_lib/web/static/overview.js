// The first steps on an empty overview: the check of the connections, after which the companies are known.
(function () {
  "use strict";
  var PAUSE = 1500;
  var LONGEST = 600000;
  var dag = "dags/contact_sync_check/";

  function pause() {
    return new Promise(function (resolve) { setTimeout(resolve, PAUSE); });
  }

  async function finish(id) {
    for (var waited = 0; waited < LONGEST; waited += PAUSE) {
      await pause();
      var run = await window.contactSync.airflow("GET", dag + "dagRuns/" + encodeURIComponent(id));
      if (run.state === "success" || run.state === "failed") return run.state;
    }
    return "";
  }

  async function check(button) {
    var words = button.dataset;
    button.disabled = true;
    try {
      var run = await window.contactSync.airflow("POST", dag + "dagRuns", { logical_date: null, conf: {} });
      var link = { href: window.contactSync.root + dag + "runs/" + encodeURIComponent(run.dag_run_id), text: words.open };
      window.contactSync.announce(words.begun, "good", link);
      var state = await finish(run.dag_run_id);
      if (state === "success") window.location.reload();
      else if (state) {
        // The companies may be known although something else is wrong.
        await window.htmx.ajax("GET", window.location.href, "#profiles");
        window.contactSync.announce(words.failed, "bad", link);
      }
    } catch (error) {
      window.contactSync.announce(words.refused + " " + error.message, "bad");
    } finally {
      button.disabled = false;
    }
  }

  document.addEventListener("click", function (event) {
    var button = event.target.closest("#check-all");
    if (button) check(button);
  });
})();
