// What scripts add to pages that work without them.

import { prepareCopying } from "./copy.js";
import { prepareFilters } from "./filters.js";
import { prepareLightbox } from "./lightbox.js";
import { prepareMore } from "./more.js";
import { prepareSearch } from "./search.js";

prepareSearch(document.querySelector(".search"), document.querySelector(".drop-hint"));
prepareFilters(document.querySelector(".filters form"));
prepareLightbox(document.querySelector(".lightbox"));
prepareMore(document.querySelector("main"));
prepareCopying();
