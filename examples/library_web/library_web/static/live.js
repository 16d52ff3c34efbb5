// Keeps the shelves up to date. Without it the page shows what was so when it was loaded, and everything works.
"use strict";

const shelves = document.getElementById("shelves");
const live = document.getElementById("live");
const told = document.getElementById("told");
const REST = 3000;
let wanted = null;
let isLooking = false;

function tell(text) {
  live.textContent = text;
  live.hidden = false;
}

// The element's place is taken by its fresh one; a person who was in it stays there.
function replace(old, fresh) {
  const place = [...old.querySelectorAll("button")].indexOf(document.activeElement);
  old.replaceWith(fresh);
  if (place >= 0) (fresh.querySelectorAll("button")[place] ?? fresh.querySelector("button"))?.focus();
}

function show(page) {
  const [before, after] = [shelves, page].map((each) => [...each.querySelectorAll("#copies > li")]);
  const states = new Map(before.map((each) => [each.id, each.dataset.state]));
  const isSameList = before.length === after.length && before.every((each, n) => each.id === after[n].id);
  if (!isSameList) replace(shelves.querySelector("#copies"), page.querySelector("#copies"));
  const changed = after.filter((each) => states.get(each.id) !== each.dataset.state);
  for (const fresh of changed) {
    if (isSameList) replace(document.getElementById(fresh.id), fresh);
    fresh.classList.add("changed");
  }
  for (const id of ["reader-card", "count"]) {
    const [old, fresh] = [shelves, page].map((each) => each.querySelector(`#${id}`));
    if (old.dataset.state !== fresh.dataset.state) old.replaceWith(fresh);
  }
  shelves.querySelector("#stale").hidden = page.querySelector("#stale").hidden;
  if (changed.length > 0 && changed.length <= 3) {
    told.textContent = changed
      .map((each) => `${each.querySelector("h2").textContent}: ${each.querySelector(".state").innerText}.`)
      .join(" ");
  }
}

// One look at a time, however many changes come meanwhile: the last of them is what has to be seen.
async function look() {
  if (isLooking || wanted === null) return;
  isLooking = true;
  const position = wanted;
  wanted = null;
  let isSeen = false;
  try {
    const asked = new URL(location.href);
    for (const name of ["command", "book", "again"]) asked.searchParams.delete(name);
    asked.searchParams.set("seen", position);
    const response = await fetch(asked);
    if (!response.ok) throw new Error(`status ${response.status}`);
    show(new DOMParser().parseFromString(await response.text(), "text/html").getElementById("shelves"));
    isSeen = shelves.querySelector("#stale").hidden;
    tell("Live");
  } catch {
    tell("Not live just now");
  }
  isLooking = false;
  if (isSeen) {
    look();
  } else {
    wanted ??= position;
    setTimeout(look, REST);
  }
}

const changes = new EventSource(`/changes?seen=${encodeURIComponent(shelves.dataset.position)}`);
changes.onopen = () => tell("Live");
changes.onerror = () => tell("Not live just now");
changes.onmessage = (event) => {
  wanted = event.data;
  look();
};

// A page that a browser had put by has forms that may have been sent.
addEventListener("pageshow", (event) => {
  if (event.persisted) location.reload();
});
