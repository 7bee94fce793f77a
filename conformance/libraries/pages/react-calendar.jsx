import Calendar from "react-calendar";
import { createRoot } from "react-dom/client";
import { byDay, dayKey } from "../adapters.js";

export function mount(root, events) {
  const days = byDay(events);
  const content = ({ date }) => {
    const titles = days.get(dayKey(date));
    return titles ? <b data-day={dayKey(date)} title={titles.join("\n")}>•</b> : null;
  };
  createRoot(root).render(<Calendar defaultActiveStartDate={new Date(2026, 2, 1)} tileContent={content} />);
}

export { marked as shown } from "../shown.js";
