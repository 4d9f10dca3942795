// Keeps the files of the page, so that it works without a network after the first visit. The build fills in the list.
// What is not in it, the runtime for GPUs, is kept once it was needed.
const VERSION = "__VERSION__";
const FILES = ["__FILES__"];

self.addEventListener("install", (event) => {
  self.skipWaiting();
  event.waitUntil(caches.open(VERSION).then((cache) => cache.addAll(FILES)));
});

self.addEventListener("activate", (event) => {
  const old = caches.keys().then((names) => Promise.all(names.filter((n) => n !== VERSION).map((n) => caches.delete(n))));
  event.waitUntil(old.then(() => self.clients.claim()));
});

self.addEventListener("fetch", (event) => {
  if (event.request.method !== "GET") return;
  event.respondWith(caches.match(event.request, { ignoreSearch: true }).then((found) => found ?? fetched(event.request)));
});

async function fetched(request) {
  const answer = await fetch(request);
  if (answer.ok && new URL(request.url).pathname.includes("/vendor/"))
    (await caches.open(VERSION)).put(request, answer.clone());
  return answer;
}
