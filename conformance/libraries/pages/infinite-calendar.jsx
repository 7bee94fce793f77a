import { createRoot } from "react-dom/client";
import InfiniteCalendar, { Calendar, defaultMultipleDateInterpolation, withMultipleDates } from "react-infinite-calendar";
import "react-infinite-calendar/styles.css";
import { asDate, byDay } from "../adapters.js";

let days;

// It has no place for titles: the days with events are the selected ones.
export function mount(root, events) {
  days = byDay(events);
  createRoot(root).render(
    <InfiniteCalendar Component={withMultipleDates(Calendar)} interpolateSelection={defaultMultipleDateInterpolation}
      selected={[...days.keys()].map(asDate)} min={new Date(2026, 0, 1)} max={new Date(2026, 11, 31)}
      minDate={new Date(2026, 0, 1)} maxDate={new Date(2026, 11, 31)} width={400} height={900}
      displayOptions={{ showHeader: false }} />);
}

export function shown(root) {
  const selected = [...root.querySelectorAll("li[data-date][class*=selected], li[data-date]:has([class*=selection])")];
  return selected.flatMap((cell) => (days.get(cell.dataset.date) ?? []).map((title) => `${cell.dataset.date} ${title}`));
}
