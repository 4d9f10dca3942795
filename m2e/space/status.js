// The status says that a file is on its way as soon as it is chosen, before the server knows of it.
const said = (name) => {
  const busy = Object.assign(document.createElement("div"), { className: "m2e-busy" });
  busy.setAttribute("role", "status");
  const words = Object.assign(document.createElement("span"), { textContent: name });
  busy.append(document.createElement("i"), words);
  element.querySelector(".m2e-status").replaceChildren(busy);
  busy.scrollIntoView({ block: "nearest", behavior: "smooth" });
  const refused = setInterval(() => {
    if (!busy.isConnected) clearInterval(refused);
    else if (document.querySelector(".toast-body.error")) busy.remove(); // Gradio refused the file and says why
  }, 500);
};
const names = (files) => (files.length === 1 ? files[0].name : `${files.length} files`);
const column = document.querySelector(".m2e-add");
column.addEventListener("change", ({ target }) => {
  if (target.type === "file" && target.files.length) said(`Uploading ${names(target.files)} …`);
}, true);
column.addEventListener("drop", ({ dataTransfer }) => {
  if (dataTransfer?.files.length) said(`Uploading ${names(dataTransfer.files)} …`);
}, true);
column.addEventListener("click", ({ target }) => {
  const clip = target.closest(".m2e-examples button");
  if (clip) said(`Analysing ${clip.innerText.trim()} …`);
}, true);
// Gradio names the field otherwise than the words in it do
new MutationObserver(() => {
  for (const field of column.querySelectorAll(".upload-container[aria-label]")) field.removeAttribute("aria-label");
}).observe(column, { childList: true, subtree: true });
for (const field of column.querySelectorAll(".upload-container[aria-label]")) field.removeAttribute("aria-label");
