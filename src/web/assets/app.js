// What the pages gain by script; each works without it.
"use strict";
(() => {
  const zone = Intl.DateTimeFormat().resolvedOptions().timeZone;
  if (zone && !/(?:^|; )lt_zone=/.test(document.cookie)) {
    document.cookie = `lt_zone=${encodeURIComponent(zone)}; Path=/; Max-Age=31536000; SameSite=Lax`;
    if (document.querySelector("[data-live]") && zone !== "UTC") location.reload();
  }
  for (const button of document.querySelectorAll("[data-copy]")) {
    button.hidden = false;
    button.addEventListener("click", async () => {
      const from = document.getElementById(button.dataset.copy);
      await navigator.clipboard.writeText(from.value ?? from.textContent);
      button.textContent = "Copied";
    });
  }
  const allDay = document.getElementById("all_day");
  if (allDay) {
    const follow = () => {
      for (const field of document.querySelectorAll("[data-time]")) field.hidden = allDay.checked;
    };
    allDay.addEventListener("change", follow);
    follow();
  }
  const live = document.querySelector("[data-live]");
  if (live) {
    // Reads the page anew and puts its part in place, without losing the scroll position.
    let due = null;
    const refresh = async () => {
      due = null;
      if (live.contains(document.activeElement) && document.activeElement.matches("input, textarea, select")) return;
      const answer = await fetch(location.href, { headers: { "Accept": "text/html" } }).catch(() => null);
      if (!answer?.ok || answer.redirected) return;
      const fresh = new DOMParser().parseFromString(await answer.text(), "text/html").querySelector("[data-live]");
      if (fresh && fresh.innerHTML !== live.innerHTML) live.innerHTML = fresh.innerHTML;
    };
    const soon = () => { due ??= setTimeout(refresh, 300); };
    const every = Number(live.dataset.live);
    if (every > 0) setInterval(() => { if (!document.hidden) soon(); }, every * 1000);
    if (live.dataset.stream && "EventSource" in window) {
      const stream = new EventSource(live.dataset.stream);
      stream.addEventListener("message", soon);
      for (const kind of ["calendar", "status"]) stream.addEventListener(kind, soon);
    }
  }
})();
