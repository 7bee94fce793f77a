import { createRoot } from "react-dom/client";
import DatePicker from "react-datepicker";
import { byDay, dayKey } from "../adapters.js";

export function mount(root, events) {
  const days = byDay(events);
  const cell = (day, date) => {
    const titles = days.get(dayKey(date));
    return titles ? <b data-day={dayKey(date)} title={titles.join("\n")}>{day}</b> : day;
  };
  createRoot(root).render(<DatePicker inline openToDate={new Date(2026, 2, 1)} renderDayContents={cell} />);
}

export { marked as shown } from "../shown.js";
