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

  // On a phone the navigation is wider than the screen.
  var here = document.querySelector(".top [aria-current]");
  if (here) here.scrollIntoView({ block: "nearest", inline: "center" });

  // -- notices ----------------------------------------------------------------------------------------------------

  var notice = document.getElementById("notice");

  // Shows a text, and a link behind it: into Airflow, unless it leads to a page of ours.
  function announce(text, kind, link) {
    notice.textContent = text + " ";
    notice.className = kind;
    if (link) {
      var anchor = document.createElement("a");
      anchor.href = link.href;
      if (!link.here) anchor.dataset.airflow = "";
      anchor.textContent = link.text;
      notice.appendChild(anchor);
    }
  }

  document.addEventListener("htmx:responseError", function (event) {
    var answer = event.detail.xhr;
    var isText = (answer.getResponseHeader("content-type") || "").startsWith("text/plain");
    announce(isText ? answer.responseText : notice.dataset.failed, "bad");
  });
  document.addEventListener("htmx:sendError", function () {
    announce(notice.dataset.failed, "bad");
  });

  // -- language and times -----------------------------------------------------------------------------------------

  document.getElementById("language-of-page").addEventListener("change", function (event) {
    document.cookie =
      "contact_sync_language=" + event.target.value + ";path=" + document.body.dataset.cookiePath +
      ";max-age=31536000;samesite=lax";
    window.location.reload();
  });

  // The server writes times in UTC; people read them in their own time zone.
  function localise(part) {
    var written = new Intl.DateTimeFormat(document.documentElement.lang, { dateStyle: "medium", timeStyle: "short" });
    var ofDay = new Intl.DateTimeFormat(document.documentElement.lang, { timeStyle: "short" });
    part.querySelectorAll("time[datetime]").forEach(function (time) {
      if ("tapped" in time.dataset) return;
      time.title = written.format(new Date(time.dateTime));
      if ("clock" in time.dataset) time.textContent = ofDay.format(new Date(time.dateTime));
      if ("absolute" in time.dataset) time.textContent = time.title;
    });
  }

  // Nothing hovers on a phone: a tap shows the time itself, another one how long ago that was.
  document.addEventListener("click", function (event) {
    var time = event.target.closest("time[datetime]");
    if (!time || time.closest("a, button, summary, label")) return;
    var shown = time.textContent;
    time.textContent = time.title;
    time.title = shown;
    if ("tapped" in time.dataset) delete time.dataset.tapped;
    else time.dataset.tapped = "";
  });

  // -- Airflow's REST API -----------------------------------------------------------------------------------------

  // Asks with the user's own cookie and returns JSON; an error carries the text of the answer, and its status.
  async function call(method, address, body) {
    var answer = await fetch(address, {
      method: method,
      credentials: "same-origin",
      // The last one lets our own pages answer an error as a line of text.
      headers: { "Content-Type": "application/json", Accept: "application/json", "HX-Request": "true" },
      body: JSON.stringify(body),
    });
    var isText = (answer.headers.get("content-type") || "").startsWith("text/plain");
    var content = isText ? { detail: await answer.text() } : await answer.json().catch(function () { return {}; });
    if (!answer.ok) {
      var detail = content.detail;
      var error = new Error(typeof detail === "string" ? detail : answer.status + " " + answer.statusText);
      error.status = answer.status;
      throw error;
    }
    return content;
  }

  // Calls Airflow, so that Airflow decides what the user may, and keeps the log of it.
  function airflow(method, path, body) {
    return call(method, root + "api/v2/" + path, body);
  }

  // For the scripts of single pages.
  window.contactSync = { airflow: airflow, announce: announce, root: root };

  // -- starting runs ----------------------------------------------------------------------------------------------

  var start = document.getElementById("start");
  var chosen = new Set();
  // Of these, what is switched off: it can be changed, and no run takes it.
  var off = new Set();
  // All that the search holds, on whatever part of the list: the search itself is the choice.
  var matching = null;

  function boxes() {
    return Array.from(document.querySelectorAll("input[name=profile]"));
  }

  function choose(box, is) {
    chosen[is ? "add" : "delete"](box.value);
    if ("off" in box.dataset) off.add(box.value);
  }

  function running() {
    return Array.from(chosen).filter(function (id) { return !off.has(id); });
  }

  function showChosen() {
    boxes().forEach(function (box) { box.checked = Boolean(matching) || chosen.has(box.value); });
    var all = document.getElementById("all");
    var every = boxes().length > 0 && boxes().every(function (box) { return box.checked; });
    if (all) all.checked = every;
    document.getElementById("chosen").textContent = matching
      ? matching.said
      : chosen.size ? start.dataset.some.replace("#", running().length) : start.dataset.all;
    showChange(every);
  }

  // The link to the page that changes what is chosen; without a choice it leads to all that the search holds.
  function showChange(every) {
    var change = document.getElementById("change");
    var more = document.getElementById("matching");
    if (!change) return;
    change.dataset.every = change.dataset.every || change.textContent;
    change.dataset.search = change.dataset.search || change.getAttribute("href");
    var some = chosen.size && !matching;
    change.textContent = some ? change.dataset.some.replace("#", chosen.size) : change.dataset.every;
    change.href = some ? change.dataset.address + "?profiles=" + Array.from(chosen).join(",") : change.dataset.search;
    if (more) more.hidden = !every || Boolean(matching);
  }

  // A run is started for profiles, not for a search: those that it holds now.
  async function asked() {
    if (!matching) return running();
    return (await call("GET", matching.address)).profiles;
  }

  var PAUSE = 3000;
  var LONGEST = 1800000;

  // Looks until the run is over, and shows then how everything is: who started it did not come here to reload the page.
  async function follow(id) {
    for (var waited = 0; waited < LONGEST; waited += PAUSE) {
      await new Promise(function (resolve) { setTimeout(resolve, PAUSE); });
      var state = (await airflow("GET", "dags/contact_sync/dagRuns/" + id)).state;
      if (state !== "success" && state !== "failed") continue;
      await window.htmx.ajax("GET", window.location.href, "#profiles");
      await window.htmx.ajax("GET", window.location.href, { target: "#last-run", select: "#last-run", swap: "outerHTML" });
      var link = { href: start.dataset.runs + id, text: start.dataset.became, here: true };
      announce(start.dataset.ended, state === "success" ? "good" : "bad", link);
      return;
    }
  }

  if (start) {
    document.addEventListener("change", function (event) {
      if (event.target.id === "all") {
        matching = null;
        boxes().forEach(function (box) { choose(box, event.target.checked); });
      } else if (event.target.name === "profile") {
        // Who takes one out of all that match goes on with those that are shown.
        if (matching) boxes().forEach(function (box) { choose(box, box !== event.target); });
        matching = null;
        choose(event.target, event.target.checked);
      } else {
        return;
      }
      showChosen();
    });
    document.addEventListener("click", function (event) {
      var more = event.target.closest("#matching");
      if (!more) return;
      chosen.clear();
      matching = { address: more.dataset.address, said: more.dataset.said };
      showChosen();
    });
    start.addEventListener("submit", async function (event) {
      event.preventDefault();
      var mode = start.elements.mode.value;
      var button = start.querySelector("button");
      button.disabled = true;
      try {
        var profiles = await asked();
        // Without any a run would take all.
        if ((matching || chosen.size) && !profiles.length) throw new Error(start.dataset.none);
        var conf = { mode: mode === "full" ? "full" : "incremental", dry_run: mode === "plan", profiles: profiles };
        var run = await airflow("POST", "dags/contact_sync/dagRuns", { logical_date: null, conf: conf });
        var id = encodeURIComponent(run.dag_run_id);
        announce(start.dataset.started, "good", { href: root + "dags/contact_sync/runs/" + id, text: start.dataset.open });
        chosen.clear();
        matching = null;
        showChosen();
        // Not heard of any more, it goes on all the same.
        follow(id).catch(function () {});
      } catch (error) {
        announce(start.dataset.refused + " " + error.message, "bad");
      } finally {
        button.disabled = false;
      }
    });
  }

  // -- deciding about what is held ---------------------------------------------------------------------------------

  // What has been answered on this page: the list behind it is fetched anew before the answer has been recorded.
  var answered = "";
  // What Airflow has been answered about a hold, "" for nothing yet. It knows that before its run has stored it here.
  var taken = {};

  function holdOf(part) {
    var panel = part.closest("[data-hold]");
    return { key: panel.dataset.hold + "." + panel.dataset.asked, words: panel.querySelector(".decide") };
  }

  // What the list of changes on this page shows; the panel above it is fetched anew while runs refresh the hold.
  function shownHash() {
    return document.getElementById("hold").dataset.shown;
  }

  function offerAnswers(panel) {
    var key = panel.dataset.hold + "." + panel.dataset.asked;
    panel.querySelectorAll("[data-answer]").forEach(function (button) {
      button.disabled = answered === key;
      button.hidden = Boolean(taken[key]);
    });
    panel.querySelectorAll("[data-taken]").forEach(function (line) { line.hidden = line.dataset.taken !== taken[key]; });
    if (taken[key] && panel.querySelector("[data-answer]")) panel.querySelector("[data-ask-again]").hidden = true;
    var changed = panel.querySelector("[data-changed]");
    if (changed) changed.hidden = shownHash() === panel.dataset.hash;
  }

  // Who opens the page between an answer and the run that stores it is not asked once more.
  async function findAnswer(panel) {
    var key = panel.dataset.hold + "." + panel.dataset.asked;
    if (key in taken || !panel.querySelector("[data-answer]")) return;
    taken[key] = "";
    try {
      var found = await airflow("GET", panel.querySelector(".decide").dataset.question);
      if (found.response_received) taken[key] = (found.chosen_options || [])[0] || "";
    } catch (error) {
      return;  // Airflow has no such question, or does not show it: the buttons say so when they are used.
    }
    document.querySelectorAll("[data-hold]").forEach(offerAnswers);
  }

  async function answer(button) {
    var hold = holdOf(button);
    var words = hold.words.dataset;
    var run = words.question.split("/").slice(0, 4).join("/").replace("dagRuns", "runs");
    var shown = shownHash();
    answered = hold.key;
    offerAnswers(button.closest("[data-hold]"));
    try {
      await airflow("PATCH", words.question, { chosen_options: [button.dataset.answer], params_input: shown ? { shown: shown } : {} });
      taken[hold.key] = button.dataset.answer;
      document.querySelectorAll("[data-hold]").forEach(offerAnswers);
      announce(words.answered, "good", { href: root + run, text: words.open });
    } catch (error) {
      answered = "";
      var panel = document.querySelector("[data-hold]");
      offerAnswers(panel);
      panel.querySelector("[data-ask-again]").hidden = false;
      announce(error.status === 404 || error.status === 409 ? words.unasked : words.refused + " " + error.message, "bad");
    }
  }

  async function askAgain(button) {
    var words = holdOf(button).words.dataset;
    var panel = button.closest("[data-hold]").dataset;
    button.disabled = true;
    try {
      // An open hold waits for an answer already: its own question is put where Airflow has lost it, and no other one.
      var open = { run: words.run, conf: { hold: Number(panel.hold), asked: Number(panel.asked) } };
      var asked = words.again ? await call("POST", words.again) : open;
      try {
        var conf = { logical_date: null, dag_run_id: asked.run, conf: asked.conf };
        await airflow("POST", "dags/contact_sync_approval/dagRuns", conf);
        announce(words.asking, "good");
      } catch (error) {
        announce(words.later + " " + error.message, "bad");
      }
      window.htmx.ajax("GET", window.location.pathname, { target: "#hold" });
    } catch (error) {
      button.disabled = false;
      announce(words.refused + " " + error.message, "bad");
    }
  }

  // -- undo, and what else a person wants of a profile -------------------------------------------------------------

  // A page of ours stores what a person asks for, and a run of the profile that the answer names carries it out.
  async function ask(words, button, path, wanted) {
    button.disabled = true;
    try {
      var asked = await call("POST", path, wanted);
      try {
        if (asked.profile) {
          var conf = { mode: "incremental", dry_run: false, profiles: [asked.profile] };
          await airflow("POST", "dags/contact_sync/dagRuns", { logical_date: null, conf: conf });
        }
        window.location.assign(asked.address);
      } catch (error) {
        announce(words.later + " " + error.message, "bad", { href: asked.address, text: words.open, here: true });
      }
    } catch (error) {
      button.disabled = false;
      announce(words.refused + " " + error.message, "bad");
    }
  }

  function undone(words) {
    var wanted = { profile: Number(words.profile), run: words.run };
    return words.plan ? Object.assign(wanted, { plan: Number(words.plan), n: Number(words.n) }) : wanted;
  }

  document.addEventListener("click", function (event) {
    var button = event.target.closest("[data-confirm]");
    var words = button && button.closest("[data-undo], [data-withdraw], [data-wish]").dataset;
    if (words && words.undo) ask(words, button, words.undo, undone(words));
    else if (words) ask(words, button, words.wish || words.withdraw);
  });

  document.addEventListener("click", function (event) {
    var button = event.target.closest("[data-answer], [data-ask-again]");
    if (button) (button.dataset.answer ? answer : askAgain)(button);
  });

  document.addEventListener("htmx:load", function (event) {
    document.querySelectorAll("[data-hold]").forEach(function (panel) {
      offerAnswers(panel);
      findAnswer(panel);
    });
    localise(event.target);
    // A list that was fetched anew does not forget what was selected; another search is not the one that was chosen.
    var more = document.getElementById("matching");
    if (matching && !(more && more.dataset.address === matching.address)) matching = null;
    if (start) showChosen();
  });
})();
