// Builds the document. Text enters it as text nodes alone: names and errors come from outside.

const SVG = "http://www.w3.org/2000/svg";

const byId = (id) => document.getElementById(id);

/** Makes an element. Attributes that are null or false are left out; children are nodes or text. */
function node(name, attributes, ...children) {
  return furnish(document.createElement(name), attributes, children);
}

/** Makes an element of a drawing. */
function svg(name, attributes, ...children) {
  return furnish(document.createElementNS(SVG, name), attributes, children);
}

function furnish(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes ?? {})) {
    if (value === null || value === undefined || value === false) continue;
    element.setAttribute(name, value === true ? "" : String(value));
  }
  element.append(...children.flat(Infinity).filter((child) => child !== null && child !== undefined));
  return element;
}

/** Replaces an element's children where they differ, so that focus and a reader's place are kept. */
function put(element, ...children) {
  const fresh = furnish(document.createElement("template"), null, children);
  if (sameChildren(element, fresh)) return;
  element.replaceChildren(...fresh.childNodes);
}

function sameChildren(a, b) {
  if (a.childNodes.length !== b.childNodes.length) return false;
  return [...a.childNodes].every((child, index) => child.isEqualNode(b.childNodes[index]));
}

/** Sets an element's text where it differs. */
function say(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

const SIGNS = {
  good: ["M8 1a7 7 0 1 0 0 14a7 7 0 1 0 0-14z", "M4.6 8.3l2.3 2.3l4.4-4.8"],
  wait: ["M8 1a7 7 0 1 0 0 14a7 7 0 1 0 0-14z", "M8 4.5v3.8l2.4 1.6"],
  warn: ["M8 1.2L15.4 14.6H.6z", "M8 6v4M8 12.2v.2"],
  bad: ["M5.1 1h5.8L15 5.1v5.8L10.9 15H5.1L1 10.9V5.1z", "M5.4 5.4l5.2 5.2M10.6 5.4l-5.2 5.2"],
};

/** A sign of its own shape for each level, so that colour is never all there is. The word stands beside it. */
function sign(level) {
  const [shape, mark] = SIGNS[level];
  return svg("svg", { class: `sign ${level}`, viewBox: "0 0 16 16", "aria-hidden": "true" },
    svg("path", { class: "shape", d: shape }), svg("path", { class: "mark", d: mark }));
}
