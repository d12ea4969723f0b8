// "Show more" adds what is new to the hits that are there, instead of loading the page again.

export function prepareMore(main) {
  main.addEventListener("click", async (event) => {
    const link = event.target.closest("a[data-more]");
    if (!link || event.button || event.ctrlKey || event.metaKey || event.shiftKey) return;
    event.preventDefault();
    if (link.getAttribute("aria-busy")) return;
    link.setAttribute("aria-busy", "true");
    link.textContent = "Loading";
    const page = await load(link.href);
    if (page) add(main, page, link.href);
    else location.assign(link.href);
  });
}

async function load(url) {
  try {
    const response = await fetch(url);
    return response.ok && new DOMParser().parseFromString(await response.text(), "text/html");
  } catch {
    return null;
  }
}

function add(main, page, url) {
  const list = main.querySelector(".grid, .texts");
  const there = list.children.length;
  const fresh = [...page.querySelector(".grid, .texts").children].slice(there);
  list.append(...fresh);
  main.querySelector(".summary p").replaceWith(page.querySelector(".summary p"));
  main.querySelector(".more").replaceWith(...page.querySelectorAll(".more"));
  history.replaceState(history.state, "", url);
  fresh[0]?.querySelector("a").focus({ preventScroll: true });
}
