"use strict";
// The page is whole without this: it opens and closes what is folded, and finds hosts.
document.documentElement.classList.add("scripted");
for (const button of document.querySelectorAll("button[data-fold]")) {
  button.addEventListener("click", () => {
    const open = button.getAttribute("aria-expanded") !== "true";
    for (const folded of document.querySelectorAll(`#${button.dataset.fold} details.change`)) folded.open = open;
    button.setAttribute("aria-expanded", String(open));
    button.textContent = open ? "Close all" : "Open all";
  });
}
for (const input of document.querySelectorAll("input[data-find]")) {
  const rows = document.querySelectorAll(`#${input.dataset.find} tbody tr`);
  input.addEventListener("input", () => {
    const wanted = input.value.trim().toLowerCase();
    for (const row of rows) row.hidden = !row.textContent.toLowerCase().includes(wanted);
  });
}
// What is printed is not folded.
addEventListener("beforeprint", () => {
  for (const folded of document.querySelectorAll("details.change")) folded.open = true;
});
