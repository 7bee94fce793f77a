import { byDay } from "../adapters.js";

// The linear year: twelve rows of days, in which a year is seen at once.
export function mount(root, events) {
  const days = byDay(events);
  const table = document.createElement("table");
  for (let month = 1; month <= 12; month += 1) {
    const row = table.insertRow();
    const length = new Date(2026, month, 0).getDate();
    for (let day = 1; day <= length; day += 1) {
      const key = `2026-${String(month).padStart(2, "0")}-${String(day).padStart(2, "0")}`;
      const cell = row.insertCell();
      cell.textContent = String(day);
      const titles = days.get(key);
      if (titles) {
        cell.dataset.day = key;
        cell.title = titles.join("\n");
      }
    }
  }
  root.append(table);
}

export { marked as shown } from "../shown.js";
