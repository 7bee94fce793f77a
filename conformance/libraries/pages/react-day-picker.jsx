import { createRoot } from "react-dom/client";
import { DayPicker } from "react-day-picker";
import { byDay, dayKey } from "../adapters.js";

export function mount(root, events) {
  const days = byDay(events);
  const Day = ({ day, modifiers, ...rest }) => {
    const titles = days.get(dayKey(day.date));
    if (!titles || modifiers.outside) return <td {...rest} />;
    return <td {...rest} data-day={dayKey(day.date)} title={titles.join("\n")} />;
  };
  createRoot(root).render(<DayPicker defaultMonth={new Date(2026, 2, 1)} components={{ Day }} />);
}

export { marked as shown } from "../shown.js";
