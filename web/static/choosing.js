// A form applies when something is chosen. What is chosen by keys applies when its field is left, or with Enter: an arrow
// or a digit is only on the way to it. The field that has the focus then has it on the page that comes, too.

const FOCUS = "focus-of-form";
const focused = sessionStorage.getItem(FOCUS); // on the page before
sessionStorage.removeItem(FOCUS);

export function applyWhenChosen(form, isMeant = () => true) {
  let byKeys = false;
  let waiting = false;

  function apply(field) {
    waiting = false;
    if (byKeys && field?.name) sessionStorage.setItem(FOCUS, field.name);
    form.requestSubmit();
  }

  form.addEventListener("pointerdown", () => (byKeys = false));
  form.addEventListener("keydown", (event) => {
    byKeys = true;
    if (event.key === "Enter" && waiting && event.target.matches("select")) apply(event.target);
  });
  form.addEventListener("change", (event) => {
    if (!isMeant(event.target)) return;
    if (byKeys && !event.target.matches("[type=checkbox]")) waiting = true;
    else apply(event.target);
  });
  form.addEventListener("focusout", (event) => {
    if (waiting) apply(form.contains(event.relatedTarget) ? event.relatedTarget : event.target);
  });
  form.addEventListener("submit", () => (waiting = false));
  window.addEventListener("pageshow", (event) => {
    if (!event.persisted) return;
    waiting = false;
    form.reset(); // to what is shown, from what led away from it
  });
}

// Gives the focus back to the field that had it; whether it is one of the form.
export function focusAgain(form) {
  const field = focused && form.elements[focused];
  if (!field || field.type === "hidden") return false;
  field.focus({ preventScroll: true });
  return true;
}
