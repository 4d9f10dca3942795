// Elements. Styles are set as properties, since the policy of the page allows no style attributes.
const SVG = ["circle", "defs", "line", "linearGradient", "path", "polyline", "stop", "svg"];

export function make(tag, attributes = {}, ...children) {
  const element = SVG.includes(tag)
    ? document.createElementNS("http://www.w3.org/2000/svg", tag)
    : document.createElement(tag);
  for (const [name, value] of Object.entries(attributes))
    if (name === "style") for (const [property, set] of Object.entries(value)) element.style.setProperty(property, set);
    else element.setAttribute(name, value);
  element.append(...children);
  return element;
}

export const clock = (seconds) =>
  `${Math.floor(Math.round(seconds) / 60)}:${String(Math.round(seconds) % 60).padStart(2, "0")}`;

// "C# minor" and "Bbm" with the signs of sheet music
export const notes = (name) => name.replace(/\b([A-G])#/g, "$1♯").replace(/\b([A-G])b(?=m|\d|\W|$)/g, "$1♭");
