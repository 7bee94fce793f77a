import dayjs from "dayjs";
import { createRoot } from "react-dom/client";
import { Calendar, dayjsLocalizer } from "react-big-calendar";
import "react-big-calendar/lib/css/react-big-calendar.css";
import { dayKey, forBigCalendar } from "../adapters.js";

function Event({ event }) {
  return <span data-day={dayKey(event.start)}>{event.title}</span>;
}

export function mount(root, events) {
  root.style.height = "900px";
  createRoot(root).render(
    <Calendar localizer={dayjsLocalizer(dayjs)} events={events.map(forBigCalendar)} defaultDate={new Date(2026, 2, 1)}
      views={["month"]} components={{ event: Event }} />);
}

export function shown(root) {
  return [...root.querySelectorAll("[data-day]")].map((one) => `${one.dataset.day} ${one.textContent}`);
}
