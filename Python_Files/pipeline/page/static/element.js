// Elements from data. What comes from a record becomes text and attributes, never markup.

const SVG = "http://www.w3.org/2000/svg";

function fill(element, properties, children) {
  for (const [name, value] of Object.entries(properties)) {
    if (value !== null && value !== undefined && value !== false) {
      element.setAttribute(name, value === true ? "" : value);
    }
  }
  element.append(...children.filter((one) => one !== null && one !== undefined && one !== false));
  return element;
}

export function make(name, properties = {}, ...children) {
  return fill(document.createElement(name), properties, children);
}

export function draw(name, properties = {}, ...children) {
  return fill(document.createElementNS(SVG, name), properties, children);
}

export function byId(id) {
  return document.getElementById(id);
}
