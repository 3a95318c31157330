// morph makes an element's inside what the markup says, and keeps each node that need
// not change: what has the focus, is selected, scrolled or unfolded stays so. The markup
// is this server's own.
export function morph(element: Element, inside: string): boolean {
  const wanted = new DOMParser().parseFromString("<body>" + inside, "text/html").body;
  return children(element, wanted);
}

// Nodes with data-keep were added by scripts, and attributes with this name are the
// reader's.
const keeps = (node: Node): boolean => node instanceof HTMLElement && "keep" in node.dataset;
const readers = new Set(["open"]);

function same(a: Node, b: Node): boolean {
  if (a.nodeType !== b.nodeType || a.nodeName !== b.nodeName) return false;
  return !(a instanceof Element && b instanceof Element) || a.id === b.id;
}

function children(now: Node, wanted: Node): boolean {
  let changed = false;
  const old = Array.from(now.childNodes).filter((n) => !keeps(n));
  const fresh = Array.from(wanted.childNodes);
  let at = 0;
  for (const node of fresh) {
    const before = old[at];
    if (before && same(before, node)) {
      changed = one(before, node) || changed;
      at++;
      continue;
    }
    now.insertBefore(document.importNode(node, true), before ?? null);
    changed = true;
    // Something was put in before what is here, or stands in for it.
    if (before && !fresh.slice(fresh.indexOf(node) + 1).some((later) => same(before, later))) {
      before.parentNode?.removeChild(before);
      at++;
    }
  }
  for (const node of old.slice(at)) {
    node.parentNode?.removeChild(node);
    changed = true;
  }
  return changed;
}

function one(now: Node, wanted: Node): boolean {
  if (!(now instanceof Element) || !(wanted instanceof Element)) {
    if (now.nodeValue === wanted.nodeValue) return false;
    now.nodeValue = wanted.nodeValue;
    return true;
  }
  if (now.isEqualNode(wanted)) return false;
  let changed = false;
  for (const { name, value } of Array.from(wanted.attributes)) {
    if (!readers.has(name) && now.getAttribute(name) !== value && name !== "class") {
      now.setAttribute(name, value);
      changed = true;
    }
  }
  for (const { name } of Array.from(now.attributes)) {
    if (!readers.has(name) && name !== "class" && !wanted.hasAttribute(name)) {
      now.removeAttribute(name);
      changed = true;
    }
  }
  const plotted = now.classList.contains("plotted"); // by charts.ts
  const wantedClass = (wanted.getAttribute("class") ?? "") + (plotted ? " plotted" : "");
  if (wantedClass !== (now.getAttribute("class") ?? "")) {
    if (wantedClass) now.setAttribute("class", wantedClass);
    else now.removeAttribute("class");
    changed = true;
  }
  return children(now, wanted) || changed;
}
