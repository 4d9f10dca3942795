"use strict";
// The frame of the page: heading, search, active filters, lists of outliers and failures, light and dark.

function drawHeading() {
  const seconds = tracks.duration.reduce((sum, each) => sum + each, 0);
  find("title").textContent = data.title;
  find("summary").textContent = [
    many(total, "track"), total ? span(seconds) : "", data.models.join(", "), data.made,
    data.missing ? `${many(data.missing, "file")} away` : "",
  ].filter(Boolean).join(" · ");
}

function drawBar() {
  const chips = facets.flatMap((facet) => facet.chips().map(({ label, drop }) =>
    element("button", { type: "button", class: "chip", title: `Remove the filter ${label}`, onclick: () => { drop(); refilter(facet); update(); } }, label, element("i", { "aria-hidden": "true" }, "×"))));
  if (chips.length > 1 || (chips.length && search.words.length)) {
    chips.push(element("button", { type: "button", class: "quiet", onclick: clearAll }, "Clear all"));
  }
  find("chips").replaceChildren(...chips);
  const seconds = shown.reduce((sum, i) => sum + tracks.duration[i], 0);
  const count = shown.length === total ? many(total, "track") : `${shown.length.toLocaleString("en")} of ${many(total, "track")}`;
  find("count").textContent = `${count} · ${span(seconds)}`;
  const share = shown.length === total ? "share of the tracks" : "filled: share of the selection; outlined: of the library";
  for (const hint of document.querySelectorAll(".share")) hint.textContent = share;
  find("playlist").textContent = `Download playlist (${shown.length.toLocaleString("en")})`;
  find("playlist").disabled = shown.length === 0;
}

function showOnMap(track) {
  setFocus(track);
  find("map").scrollIntoView({ block: "center" });
}
function drawLists() {
  find("lists").replaceChildren(...data.lists.map(({ name, hint, items }) => element("section", {},
    element("h3", {}, name, " ", element("small", {}, hint)),
    element("ol", {}, ...items.map(([track, value, why]) => element("li", {},
      element("button", { type: "button", title: "Show on the map", onclick: () => showOnMap(track) },
        element("span", {}, element("b", {}, titles[track]), element("small", {}, tracks.artist[track])),
        element("span", { class: "value" }, value, element("small", {}, why ?? "")))))))));
  document.querySelector(".lists").hidden = !data.lists.length;
  const troubles = [
    ...data.failed.map(([path, sentence]) => element("li", {}, element("b", {}, path), element("small", {}, sentence))),
    ...data.warned.map(([track, sentence]) =>
      element("li", {}, element("b", {}, titles[track]), element("small", {}, sentence))),
  ];
  find("troubles").hidden = !troubles.length;
  const more = data.failures - data.failed.length;
  find("trouble-list").replaceChildren(
    element("p", {}, `${many(data.failures, "file")} failed, ${many(data.warned.length, "track")} with warnings.${more > 0 ? ` ${more} failures are not listed.` : ""}`),
    element("ul", {}, ...troubles));
}

// --- light and dark ---

const systemDark = matchMedia("(prefers-color-scheme: dark)");
const isDark = () => (document.documentElement.dataset.theme ?? (systemDark.matches ? "dark" : "light")) === "dark";
function repaint() {
  find("theme").textContent = isDark() ? "Light" : "Dark";
  colours = null;
  drawMap(view());
  drawCharts();
}
find("theme").addEventListener("click", () => {
  document.documentElement.dataset.theme = isDark() ? "light" : "dark";
  repaint();
});
systemDark.addEventListener("change", repaint);

const resize = inFrame(() => { map.resize(); for (const { chart } of charts) chart.resize(); drawRing(); drawCharts(); drawView(); });
addEventListener("resize", resize);
let typing = 0;
find("search").addEventListener("input", ({ target }) => {
  clearTimeout(typing);
  typing = setTimeout(() => searchFor(target.value), 120);
});

drawHeading();
drawLists();
onUpdate(drawBar);
reorder();
drawMap(fitted());
drawCorners();
drawCharts();
drawTable();
drawBar();
find("theme").textContent = isDark() ? "Light" : "Dark";
document.documentElement.dataset.ready = "yes";
