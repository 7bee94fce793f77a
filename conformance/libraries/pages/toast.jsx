import Calendar from "@toast-ui/calendar";
import "@toast-ui/calendar/dist/toastui-calendar.min.css";
import { dayKey, forToast } from "../adapters.js";

let calendar;

export function mount(root, events) {
  root.style.height = "900px";
  calendar = new Calendar(root, { defaultView: "month", usageStatistics: false, isReadOnly: true });
  calendar.setDate("2026-03-01");
  calendar.createEvents(events.map(forToast));
}

// What stands on the screen, with the day that the library has for it.
export function shown(root) {
  const blocks = [...root.querySelectorAll("[data-event-id]")];
  return blocks.map((block) => {
    const event = calendar.getEvent(block.dataset.eventId, block.dataset.calendarId);
    const title = block.querySelector(".toastui-calendar-weekday-event-title").textContent;
    return `${dayKey(event.start.toDate())} ${title}`;
  });
}
