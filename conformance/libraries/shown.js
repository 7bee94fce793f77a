// What a page shows whose days are marked with `data-day` and the titles.
export function marked(root) {
  return [...root.querySelectorAll("[data-day][title]")].flatMap((cell) =>
    cell.title.split("\n").map((title) => `${cell.dataset.day} ${title}`));
}
