"use strict";
// The playlist of the chosen tracks, M3U8, in the order of the table.

function playlist() {
  const lines = ["#EXTM3U"];
  for (const i of shown) {
    const name = [tracks.artist[i], titles[i]].filter(Boolean).join(" - ").replace(/[\u0000-\u001f\u007f]+/g, " ");
    lines.push(`#EXTINF:${tracks.duration[i]},${name}`, location_(data.root + tracks.path[i]));
  }
  return lines.join("\n") + "\n";
}
// A path as it is; as a file URI where it cannot stand on a line of UTF-8. Bytes of names that are not UTF-8 are the
// lone surrogates U+DC80 to U+DCFF here.
function location_(path) {
  if (!/[\u0000-\u001f\u007f]|^#|^\s|\s$/.test(path) && path.isWellFormed?.() !== false) return path;
  const parts = path.replace(/[\udc80-\udcff]/g, (unit, at) => {
    const before = path.charCodeAt(at - 1);
    return before >= 0xd800 && before < 0xdc00 ? unit : `\u0000${(unit.charCodeAt(0) - 0xdc00).toString(16)}`;
  });
  const uri = parts.split(/(\u0000[89a-f][0-9a-f])/).map((part) =>
    part.startsWith("\u0000") ? `%${part.slice(1).toUpperCase()}` : encodeURI(part).replace(/[#?]/g, encodeURIComponent));
  return /^(\/|[A-Za-z]:)/.test(path) ? `file://${uri.join("")}` : uri.join("");
}
function download() {
  const file = new Blob([playlist()], { type: "audio/x-mpegurl" });
  const link = element("a", { href: URL.createObjectURL(file), download: `${shown.length} tracks.m3u8` });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10000);
}
find("playlist").addEventListener("click", download);
