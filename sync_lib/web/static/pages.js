// What all pages share. Texts come from the templates, in data attributes, so that they are translated.
(function () {
  "use strict";
  var root = document.body.dataset.airflowRoot;

  function embedded() {
    return "embedded" in document.documentElement.dataset;
  }

  // Airflow's frame forbids to leave it, so the link is made, and clicked, in the page around it.
  function openInAirflow(address) {
    var outer = window.parent.document;
    var link = outer.createElement("a");
    link.href = new URL(address, window.location.href).href;
    outer.body.appendChild(link);
    link.click();
    link.remove();
  }

  document.addEventListener("click", function (event) {
    var link = event.target.closest("a[data-airflow]");
    if (link && embedded() && !event.ctrlKey && !event.metaKey) {
      event.preventDefault();
      openInAirflow(link.href);
    }
  });

  // -- notices ----------------------------------------------------------------------------------------------------

  var notice = document.getElementById("notice");

  // Shows a text, and a link into Airflow behind it.
  function tell(text, kind, link) {
    notice.textContent = text + " ";
    notice.className = kind;
    if (link) {
      var anchor = document.createElement("a");
      anchor.href = link.href;
      anchor.dataset.airflow = "";
      anchor.textContent = link.text;
      notice.appendChild(anchor);
    }
  }

  document.addEventListener("htmx:responseError", function (event) {
    var answer = event.detail.xhr;
    var isText = (answer.getResponseHeader("content-type") || "").startsWith("text/plain");
    tell(isText ? answer.responseText : notice.dataset.failed, "bad");
  });
  document.addEventListener("htmx:sendError", function () {
    tell(notice.dataset.failed, "bad");
  });

  // -- language and times -----------------------------------------------------------------------------------------

  document.getElementById("language").addEventListener("change", function (event) {
    document.cookie =
      "contact_sync_language=" + event.target.value + ";path=" + document.body.dataset.cookiePath +
      ";max-age=31536000;samesite=lax";
    window.location.reload();
  });

  // The server writes times in UTC; people read them in their own time zone.
  function localise(part) {
    var written = new Intl.DateTimeFormat(document.documentElement.lang, { dateStyle: "medium", timeStyle: "short" });
    part.querySelectorAll("time[datetime]").forEach(function (time) {
      time.title = written.format(new Date(time.dateTime));
    });
  }

  // -- Airflow's REST API -----------------------------------------------------------------------------------------

  // Calls Airflow with the user's own cookie, so that Airflow decides what they may, and keeps the log of it.
  async function airflow(method, path, body) {
    var answer = await fetch(root + "api/v2/" + path, {
      method: method,
      credentials: "same-origin",
      headers: { "Content-Type": "application/json", Accept: "application/json" },
      body: JSON.stringify(body),
    });
    var content = await answer.json().catch(function () { return {}; });
    if (!answer.ok) {
      var detail = content.detail;
      throw new Error(typeof detail === "string" ? detail : answer.status + " " + answer.statusText);
    }
    return content;
  }

  // For the scripts of single pages.
  window.contactSync = { airflow: airflow, tell: tell, root: root };

  // -- starting runs ----------------------------------------------------------------------------------------------

  var start = document.getElementById("start");
  var chosen = new Set();

  function boxes() {
    return Array.from(document.querySelectorAll("input[name=profile]"));
  }

  function showChosen() {
    boxes().forEach(function (box) { box.checked = chosen.has(box.value); });
    var all = document.getElementById("all");
    if (all) all.checked = boxes().length > 0 && boxes().every(function (box) { return box.checked; });
    document.getElementById("chosen").textContent =
      chosen.size ? start.dataset.some.replace("#", chosen.size) : start.dataset.all;
  }

  if (start) {
    document.addEventListener("change", function (event) {
      if (event.target.id === "all") {
        boxes().forEach(function (box) { chosen[event.target.checked ? "add" : "delete"](box.value); });
      } else if (event.target.name === "profile") {
        chosen[event.target.checked ? "add" : "delete"](event.target.value);
      } else {
        return;
      }
      showChosen();
    });
    start.addEventListener("submit", async function (event) {
      event.preventDefault();
      var mode = start.elements.mode.value;
      var conf = {
        mode: mode === "full" ? "full" : "incremental",
        dry_run: mode === "plan",
        profiles: Array.from(chosen),
      };
      var button = start.querySelector("button");
      button.disabled = true;
      try {
        var run = await airflow("POST", "dags/contact_sync/dagRuns", { logical_date: null, conf: conf });
        var id = encodeURIComponent(run.dag_run_id);
        tell(start.dataset.started, "good", { href: root + "dags/contact_sync/runs/" + id, text: start.dataset.open });
        chosen.clear();
        showChosen();
      } catch (error) {
        tell(start.dataset.refused + " " + error.message, "bad");
      } finally {
        button.disabled = false;
      }
    });
  }

  document.addEventListener("htmx:load", function (event) {
    localise(event.target);
    // A list that was fetched anew does not forget what was selected.
    if (start) showChosen();
  });
})();
