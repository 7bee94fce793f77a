import { Calendar } from "primereact/calendar";
import { createRoot } from "react-dom/client";
import { byDay, dayKey } from "../adapters.js";

export function mount(root, events) {
  const days = byDay(events);
  const cell = ({ year, month, day }) => {
    const key = dayKey(new Date(year, month, day));
    const titles = days.get(key);
    return titles ? <b data-day={key} title={titles.join("\n")}>{day}</b> : day;
  };
  createRoot(root).render(<Calendar inline viewDate={new Date(2026, 2, 1)} onViewDateChange={() => {}} dateTemplate={cell} />);
}

export { marked as shown } from "../shown.js";
