import { AdapterDayjs } from "@mui/x-date-pickers/AdapterDayjs";
import { DateCalendar } from "@mui/x-date-pickers/DateCalendar";
import { LocalizationProvider } from "@mui/x-date-pickers/LocalizationProvider";
import { PickersDay } from "@mui/x-date-pickers/PickersDay";
import dayjs from "dayjs";
import { createRoot } from "react-dom/client";
import { byDay } from "../adapters.js";

export function mount(root, events) {
  const days = byDay(events);
  const Day = (props) => {
    const key = props.day.format("YYYY-MM-DD");
    const titles = days.get(key);
    if (!titles) return <PickersDay {...props} />;
    return <b data-day={key} title={titles.join("\n")}><PickersDay {...props} /></b>;
  };
  createRoot(root).render(
    <LocalizationProvider dateAdapter={AdapterDayjs}>
      <DateCalendar defaultValue={dayjs("2026-03-01")} slots={{ day: Day }} />
    </LocalizationProvider>);
}

export { marked as shown } from "../shown.js";
