// Pictures get into the search box by choosing, dropping and pasting; each starts the search at once.

import { applyWhenChosen, focusAgain } from "./choosing.js";

export function prepareSearch(form, hint) {
  const input = form.elements.image;
  const submit = () => form.requestSubmit();

  input.addEventListener("change", () => input.files.length && submit());
  applyWhenChosen(form, (field) => field.name === "collection");
  focusAgain(form);
  form.addEventListener("submit", () => form.classList.add("busy"));
  window.addEventListener("pageshow", () => form.classList.remove("busy"));

  function take(files) {
    const picture = [...files].find(mayBePicture);
    if (!picture) return false;
    const chosen = new DataTransfer();
    chosen.items.add(picture);
    input.files = chosen.files;
    submit();
    return true;
  }

  document.addEventListener("paste", (event) => {
    const { files, types } = event.clipboardData;
    if (types.includes("text/plain") && event.target.matches?.("input, textarea")) return; // words of a document
    if (take(files)) event.preventDefault();
  });
  document.addEventListener("dragover", (event) => {
    if (!holdsFiles(event)) return;
    event.preventDefault();
    hint.hidden = false;
  });
  document.addEventListener("dragleave", (event) => {
    if (!event.relatedTarget) hint.hidden = true;
  });
  document.addEventListener("drop", (event) => {
    hint.hidden = true;
    if (!holdsFiles(event)) return;
    event.preventDefault();
    take(event.dataTransfer.files);
  });
  document.addEventListener("keydown", (event) => {
    if (event.key !== "/" || event.ctrlKey || event.metaKey || event.target.matches("input, select, textarea")) return;
    if (document.querySelector("dialog[open]")) return;
    event.preventDefault();
    form.elements.q.select();
  });
}

const holdsFiles = (event) => event.dataTransfer.types.includes("Files");

// Browsers know no type for the formats of some cameras; the server looks into the file.
const mayBePicture = (file) => file.type === "" || file.type.startsWith("image/");
