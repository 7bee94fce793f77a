import { Calendar } from "@fullcalendar/core";
import dayGrid from "@fullcalendar/daygrid";

// The library asks the API itself: no adapter.
export function mount(root) {
  return new Promise((done) => {
    new Calendar(root, {
      plugins: [dayGrid],
      initialDate: "2026-03-01",
      events: "/api/v1/events",
      timeZone: "Europe/Berlin",
      dayMaxEvents: false,
      eventsSet: (events) => events.length > 0 && done(),
    }).render();
  });
}

export function shown(root) {
  const cells = [...root.querySelectorAll("td[data-date]")];
  return cells.flatMap((cell) =>
    [...cell.querySelectorAll(".fc-event-title")].map((title) => `${cell.dataset.date} ${title.textContent}`));
}
