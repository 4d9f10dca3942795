// The timeline of a track: a cursor over all lanes, the values at the cursor, and the player. Runs once for the element
// that holds it; its content is replaced when another track is selected.
let audio = null;

const lanesOf = (target) => target.closest?.(".m2e-lanes");
const clock = (seconds) => `${Math.floor(seconds / 60)}:${String(Math.floor(seconds % 60)).padStart(2, "0")}`;
const at = (spans, second) => spans.find(([start, end]) => start <= second && second < end) ?? null;

function point(second) {
  const time = element.querySelector(".m2e-time");
  if (!time) return;
  const { duration, curve, chords } = JSON.parse(time.dataset.track);
  second = Math.min(Math.max(second, 0), duration);
  const window = at(curve, second) ?? curve.at(-1);
  const chord = at(chords, second);
  const parts = [clock(second)];
  if (window) parts.push(`valence ${window[2]}`, `arousal ${window[3]}`);
  if (chord) parts.push(chord[2] === "N" ? "no chord" : chord[2]);
  time.style.setProperty("--at", `${(100 * second) / duration}%`);
  const slider = time.querySelector("[role=slider]");
  slider.setAttribute("aria-valuenow", second.toFixed(1));
  slider.setAttribute("aria-valuetext", parts.join(", "));
  time.querySelector(".m2e-readout").replaceChildren(
    ...parts.map((part) => Object.assign(document.createElement("span"), { textContent: part })),
  );
}

function secondAt(event, lanes) {
  const { left, width } = lanes.getBoundingClientRect();
  return ((event.clientX - left) / width) * lanes.querySelector("[role=slider]").getAttribute("aria-valuemax");
}

function seek(second) {
  if (audio?.duration) audio.currentTime = Math.min(Math.max(second, 0), audio.duration);
  point(second);
}

function toggle() {
  if (audio.paused) audio.play().catch(() => element.querySelector(".m2e-player")?.classList.add("m2e-mute"));
  else audio.pause();
}

function begin() {
  audio?.pause(); // of the previous track, which is no longer on the page
  audio = element.querySelector("audio");
  if (!audio) return;
  const button = element.querySelector(".m2e-play");
  for (const [name, label, sign] of [["play", "Pause", "❚❚"], ["pause", "Play", "▶"]])
    audio.addEventListener(name, () => {
      button.setAttribute("aria-label", label);
      button.textContent = sign;
    });
  audio.addEventListener("timeupdate", () => point(audio.currentTime));
  audio.addEventListener("error", () => element.querySelector(".m2e-player")?.classList.add("m2e-mute"));
  point(0);
}

element.addEventListener("pointermove", (event) => {
  const lanes = lanesOf(event.target);
  if (lanes) point(secondAt(event, lanes));
});
element.addEventListener("pointerout", (event) => {
  if (lanesOf(event.target) && !lanesOf(event.relatedTarget ?? document)) point(audio?.currentTime ?? 0);
});
element.addEventListener("click", (event) => {
  const lanes = lanesOf(event.target);
  if (lanes) seek(secondAt(event, lanes));
  else if (event.target.closest(".m2e-play")) toggle();
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
