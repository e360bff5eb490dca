// Keeps "2 minutes ago" true while a page stays open. Without it the page shows what was true when it was made.
(function () {
  "use strict";
  // As the server chooses and rounds: the largest unit of which at least 1.2 have passed.
  var UNITS = [["year", 31536000], ["month", 2592000], ["week", 604800], ["day", 86400], ["hour", 3600], ["minute", 60]];
  var THRESHOLD = 1.2;
  var EVERY = 10000;
  var words = new Intl.RelativeTimeFormat(document.documentElement.lang);
  // The clock of this device may be wrong: what counts is how long ago the server made the page.
  var ahead = Date.parse(document.body.dataset.now) - Date.now();

  function age(seconds) {
    var unit = UNITS.find(function (each) { return Math.abs(seconds) / each[1] >= THRESHOLD; }) || ["second", 1];
    var count = Math.round(Math.abs(seconds) / unit[1]);
    return words.format(seconds < 0 ? -count : count, unit[0]);
  }

  function show(each) {
    var moment = each.dateTime || each.dataset.age;
    var left = Math.floor((Date.parse(moment) - Date.now() - ahead) / 1000);
    // What should have come by now is not said to have come.
    var text = "ahead" in each.dataset && left < 0 ? each.dataset.passed : age(left);
    // A tap has put the age into the title, and the time itself into its place.
    var place = "tapped" in each.dataset ? "title" : "textContent";
    if (each[place] !== text) each[place] = text;
  }

  function showAll() {
    if (!document.hidden) document.querySelectorAll("[data-age]").forEach(show);
  }

  setInterval(showAll, EVERY);
  document.addEventListener("visibilitychange", showAll);
  window.addEventListener("pageshow", showAll);
})();
