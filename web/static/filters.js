// Empty fields of the filters stay out of the URL.

import { applyWhenChosen, focusAgain } from "./choosing.js";

const NARROW = "(max-width: 40rem)";

export function prepareFilters(form) {
  if (!form) return;
  form.addEventListener("submit", () => {
    for (const field of form.elements) if (field.value === "") field.disabled = true;
  });
  window.addEventListener("pageshow", () => {
    for (const field of form.elements) field.disabled = false;
  });
  applyWhenChosen(form);
  const goesOn = focusAgain(form);
  const isWrong = form.querySelector(".wrong");
  if (matchMedia(NARROW).matches && !goesOn && !isWrong) form.closest("details").open = false; // the hits are below it
}
