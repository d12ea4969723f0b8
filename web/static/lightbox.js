// A click on a picture of a grid opens it over the page, under its own URL; arrows move on, Escape and Back close.

export function prepareLightbox(dialog) {
  const content = dialog.querySelector(".lightbox-content");
  const previous = dialog.querySelector(".previous");
  const next = dialog.querySelector(".next");
  let links = [];
  let place = 0;
  let title = document.title;
  let latest = 0;

  document.addEventListener("click", (event) => {
    const link = event.target.closest("main a[data-image]");
    if (!link || event.button || event.ctrlKey || event.metaKey || event.shiftKey || event.altKey) return;
    event.preventDefault();
    links = [...link.closest("ul, ol").querySelectorAll("a[data-image]")];
    title = document.title;
    history.pushState({ lightbox: true }, "", link.href);
    dialog.showModal();
    show(links.indexOf(link));
  });

  async function show(wanted) {
    place = wanted;
    previous.disabled = place === 0;
    next.disabled = place === links.length - 1;
    const request = ++latest;
    const article = await load(links[place].href);
    if (request !== latest || !dialog.open) return;
    if (!article) {
      location.reload();
      return;
    }
    content.replaceChildren(article);
    document.title = article.querySelector("h1").textContent;
    if (links[place + 1]) fetchQuietly(links[place + 1].href);
  }

  function move(step) {
    const wanted = place + step;
    if (wanted < 0 || wanted >= links.length) return;
    history.replaceState({ lightbox: true }, "", links[wanted].href);
    show(wanted);
  }

  function close() {
    dialog.close();
    content.replaceChildren();
    document.title = title;
    links[place].focus({ preventScroll: true });
    links[place].scrollIntoView({ block: "nearest" });
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
  window.addEventListener("popstate", (event) => {
    if (dialog.open) close();
    else if (event.state?.lightbox) location.reload();
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
