"use strict";
// Renews what the page shows in place, so that nothing flickers, jumps or loses the focus. Without it, the page is loaded
// again.
(() => {
  const main = document.querySelector("main[data-refresh]");
  const footer = document.querySelector("footer");
  const stale = document.getElementById("stale");
  const seconds = Number(main.dataset.refresh);

  const mark = (each) => each.id || each.getAttribute("href");
  const isBeingRead = () => document.hidden || !document.getSelection().isCollapsed;

  async function renew() {
    if (isBeingRead()) return;
    const response = await fetch(location.href, { cache: "no-store", signal: AbortSignal.timeout(15000) });
    if (!response.ok) throw new Error(String(response.status));
    const page = new DOMParser().parseFromString(await response.text(), "text/html");
    const fresh = page.querySelector("main");
    if (!fresh) throw new Error("no page");
    footer.textContent = page.querySelector("footer").textContent;
    if (isBeingRead() || fresh.innerHTML === main.innerHTML) return;
    const focused = main.contains(document.activeElement) ? mark(document.activeElement) : null;
    const scrolled = [...main.querySelectorAll(".wide")].map((each) => each.scrollLeft);
    main.replaceChildren(...fresh.childNodes);
    [...main.querySelectorAll(".wide")].forEach((each, place) => { each.scrollLeft = scrolled[place] || 0; });
    if (focused) [...main.querySelectorAll("a, button")].find((each) => mark(each) === focused)?.focus();
  }

  async function keepRenewing() {
    for (;;) {
      await new Promise((done) => setTimeout(done, 1000 * seconds));
      try {
        await renew();
        stale.hidden = true;
      } catch {
        stale.hidden = false;
      }
    }
  }

  keepRenewing();
})();
