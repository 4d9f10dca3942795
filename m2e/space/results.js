// The results: a cursor over all lanes, the values at the cursor, the point on the plane that follows it, the player, and
// the choice of a track. Runs once for the element that holds them; its content is replaced when a track is selected.
const audio = new Audio(); // outside of the page, so that it plays on when results are replaced
audio.preload = "metadata";
const $ = (selector) => element.querySelector(selector);

const lanesOf = (target) => target.closest?.(".m2e-lanes");
const clock = (seconds) => `${Math.floor(seconds / 60)}:${String(Math.floor(seconds % 60)).padStart(2, "0")}`;
const at = (spans, second) => spans.find(([start, end]) => start <= second && second < end) ?? null;
const signs = (chord) => chord.replace(/^([A-G])#/, "$1♯").replace(/^([A-G])b/, "$1♭");

function point(second) {
  const time = $(".m2e-time");
  if (!time) return;
  const { duration, curve, chords } = JSON.parse(time.dataset.track);
  second = Math.min(Math.max(second, 0), duration);
  const window = at(curve, second) ?? curve.at(-1);
  const chord = at(chords, second);
  const parts = [["", clock(second)]];
  if (window) parts.push(["m2e-valence", `valence ${window[2]}`], ["m2e-arousal", `arousal ${window[3]}`]);
  if (chord) parts.push(["", chord[2] === "N" ? "no chord" : signs(chord[2])]);
  time.style.setProperty("--at", `${(100 * second) / duration}%`);
  const slider = $("[role=slider]");
  slider.setAttribute("aria-valuenow", second.toFixed(1));
  slider.setAttribute("aria-valuetext", parts.map(([, said]) => said).join(", "));
  $(".m2e-readout").replaceChildren(
    ...parts.map(([className, textContent]) => Object.assign(document.createElement("span"), { className, textContent })),
  );
  follow(curve, second);
}

// The point on the plane at this second, between the middles of two windows
function follow(curve, second) {
  const now = $(".m2e-now");
  now.hidden = curve.length < 2 || !(second > 0);
  if (now.hidden) return;
  const middle = ([start, end]) => (start + end) / 2;
  const after = curve.findIndex((window) => middle(window) > second);
  const [a, b] = [curve[after < 1 ? (after < 0 ? curve.length - 1 : 0) : after - 1], curve.at(after)];
  const way = a === b ? 0 : Math.min(Math.max((second - middle(a)) / (middle(b) - middle(a)), 0), 1);
  now.style.left = `${a[4] + way * (b[4] - a[4])}%`;
  now.style.bottom = `${a[5] + way * (b[5] - a[5])}%`;
}

function secondAt(event, lanes) {
  const { left, width } = lanes.getBoundingClientRect();
  return ((event.clientX - left) / width) * $("[role=slider]").getAttribute("aria-valuemax");
}

function seek(second) {
  if (audio.duration) audio.currentTime = Math.min(Math.max(second, 0), audio.duration);
  point(second);
}

const mute = () => element.querySelector(".m2e-head")?.classList.add("m2e-mute");

function sign() {
  const button = $(".m2e-play");
  button?.setAttribute("aria-label", audio.paused ? "Play" : "Pause");
  button?.classList.toggle("m2e-playing", !audio.paused);
}

function toggle() {
  if (audio.paused) audio.play().catch(mute);
  else audio.pause();
}

// Between two of its timeupdate events a player moves on for a quarter of a second
function run() {
  point(audio.currentTime);
  if (!audio.paused) requestAnimationFrame(run);
}

function begin() {
  const source = $(".m2e-time")?.dataset.source;
  if (!source) return audio.pause();
  const url = new URL(source, document.baseURI).href;
  if (audio.src !== url) audio.src = url; // which stops the previous track
  sign();
  point(audio.currentTime);
}

for (const name of ["play", "pause", "emptied"]) audio.addEventListener(name, sign);
audio.addEventListener("play", run);
audio.addEventListener("error", mute);

for (const name of ["pointerdown", "pointermove"])
  element.addEventListener(name, (event) => {
    const lanes = lanesOf(event.target);
    if (lanes && audio.paused) point(secondAt(event, lanes));
  });
element.addEventListener("pointerout", (event) => {
  if (event.pointerType !== "mouse") return; // a finger covers what it points at: the values stay when it is lifted
  if (lanesOf(event.target) && !lanesOf(event.relatedTarget ?? document)) point(audio.currentTime);
});
element.addEventListener("click", (event) => {
  const { target } = event;
  const lanes = lanesOf(target);
  const chosen = target.closest("[data-show], [data-remove]");
  if (lanes) seek(secondAt(event, lanes));
  else if (chosen) trigger("click", { ...chosen.dataset });
  else if (target.closest("[data-second]")) seek(Number(target.closest("[data-second]").dataset.second));
  else if (target.closest(".m2e-play")) toggle();
});
element.addEventListener("keydown", (event) => {
  if (event.target.getAttribute("role") !== "slider") return;
  const now = Number(event.target.getAttribute("aria-valuenow"));
  const steps = { ArrowLeft: now - 1, ArrowRight: now + 1, PageDown: now - 10, PageUp: now + 10, Home: 0, End: 1e9 };
  if (event.key === " ") toggle();
  else if (event.key in steps) seek(steps[event.key]);
  else return;
  event.preventDefault();
});
watch("value", begin);
begin();
