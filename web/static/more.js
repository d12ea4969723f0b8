// The next page is added to the hits that are there when its link comes near, instead of loading the page anew.

export const GROWS = ".grid, .texts";

const NEAR = "800px";

export function prepareMore(main) {
  let shown = 0;
  const watcher = new IntersectionObserver((entries) => entries.forEach(come), { rootMargin: NEAR });

  function come(entry) {
    if (!entry.isIntersecting) return;
    watcher.unobserve(entry.target);
    follow(entry.target);
  }

  async function follow(link) {
    link.setAttribute("aria-busy", "true");
    link.textContent = "Loading";
    const page = await load(link.href);
    if (page) add(page);
    else offer(link);
  }

  function add(page) {
    const list = main.querySelector(GROWS);
    const fresh = page.querySelector(GROWS);
    if (fresh) list.append(...fresh.children);
    const more = page.querySelector(".more");
    main.querySelector(".more").replaceWith(...(more ? [more] : []));
    shown = list.children.length;
    remember(shown);
    watch();
  }

  function watch() {
    const link = main.querySelector("a[data-more]");
    if (link) watcher.observe(link);
  }

  watch();
  window.addEventListener("popstate", () => shown && remember(shown));
}

// A reload and the back button show as much again, as far as one request may ask. Under the lightbox the URL is that of a
// picture: the page's own is changed when it comes back.
function remember(shown) {
  const url = new URL(location.href);
  if (history.state?.lightbox || url.searchParams.has("after")) return;
  url.searchParams.set("k", Math.min(shown, 1000));
  history.replaceState(history.state, "", url);
}

function offer(link) {
  link.removeAttribute("aria-busy");
  link.textContent = "More";
}

async function load(url) {
  try {
    const response = await fetch(url);
    if (!response.ok || response.redirected) return null; // to the login
    return new DOMParser().parseFromString(await response.text(), "text/html");
  } catch {
    return null;
  }
}
