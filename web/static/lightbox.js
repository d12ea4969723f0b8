// A click on a picture of a grid opens it over the page, under its own URL; arrows move on, Escape and Back close.

import { GROWS } from "./more.js";

export function prepareLightbox(dialog) {
  const content = dialog.querySelector(".lightbox-content");
  const previous = dialog.querySelector(".previous");
  const next = dialog.querySelector(".next");
  const own = location.pathname;
  let list;
  let place = 0;
  let title = document.title;
  let latest = 0;

  document.addEventListener("click", (event) => {
    const link = event.target.closest("main a[data-image]");
    if (!link || event.button || event.ctrlKey || event.metaKey || event.shiftKey || event.altKey) return;
    event.preventDefault();
    list = link.closest("ul, ol");
    title = document.title;
    history.pushState({ lightbox: true }, "", link.href);
    dialog.showModal();
    show(links().indexOf(link));
  });

  // Asked anew each time: further pages come while one looks.
  const links = () => [...list.querySelectorAll("a[data-image]")];

  async function show(wanted) {
    place = wanted;
    const link = links()[place];
    const following = links()[place + 1];
    link.scrollIntoView({ block: "nearest" }); // the page follows, so that the next one loads in time
    previous.disabled = place === 0;
    next.disabled = !following && !(list.matches(GROWS) && document.querySelector("[data-more]"));
    const request = ++latest;
    const article = await load(link.href);
    if (request !== latest || !dialog.open) return;
    if (!article) {
      location.reload();
      return;
    }
    content.replaceChildren(article);
    document.title = article.querySelector("h1").textContent;
    const ahead = following && (await load(following.href));
    if (ahead) document.importNode(ahead.querySelector("img")); // its picture is fetched, too
  }

  function move(step) {
    const link = links()[place + step];
    if (!link) return;
    history.replaceState({ lightbox: true }, "", link.href);
    show(place + step);
  }

  function close() {
    dialog.close();
    content.replaceChildren();
    document.title = title;
    const link = links()[place];
    link.focus({ preventScroll: true });
    requestAnimationFrame(() => link.scrollIntoView({ block: "nearest" })); // the browser goes to where it was opened
  }

  previous.addEventListener("click", () => move(-1));
  next.addEventListener("click", () => move(1));
  dialog.querySelector(".close").addEventListener("click", () => history.back());
  dialog.addEventListener("cancel", (event) => {
    event.preventDefault();
    history.back();
  });
  document.addEventListener("keydown", (event) => {
    const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (!dialog.open || !step || event.altKey || event.ctrlKey || event.metaKey) return;
    event.preventDefault();
    move(step);
  });
  window.addEventListener("popstate", () => {
    if (dialog.open) close();
    else if (location.pathname !== own) location.reload(); // its entries are of one document, which may show another
  });
}

async function load(url) {
  const html = await fetchQuietly(url);
  return html && new DOMParser().parseFromString(html, "text/html").querySelector("article.picture");
}

// The text of a page, or nothing when it cannot be had.
async function fetchQuietly(url) {
  try {
    const response = await fetch(url);
    return response.ok ? await response.text() : "";
  } catch {
    return "";
  }
}
