// Draws which connection each request of this page came over, from the Server-Timing field of every response.

const SHOWN = 30;
const lanes = new Map();
const list = document.querySelector("#lanes");
const counts = { requests: 0, saved: 0, ports: new Set(), workers: new Set() };

function element(tag, className, ...children) {
  const made = document.createElement(tag);
  made.className = className;
  made.append(...children);
  return made;
}

function show(id, value) {
  const place = document.getElementById(id);
  if (place) place.textContent = value;
}

// Show a figure, and its name in the singular if it is one.
function count(id, value) {
  show(id, value);
  const name = document.getElementById(id)?.previousElementSibling;
  if (!name) return;
  name.dataset.many ??= name.textContent;
  name.textContent = value === 1 ? name.dataset.one : name.dataset.many;
}

function lane(facts) {
  const known = lanes.get(facts.connection);
  if (known) return known;
  const quiet = element("small", "");
  const stops = element("ol", "stops");
  const row = element("li", `lane c${lanes.size % 6}`, element("div", "port", `port ${facts.connection}`, quiet), stops);
  const made = { row, stops, quiet, last: performance.now(), early: 0 };
  lanes.set(facts.connection, made);
  list.append(row);
  return made;
}

function stopFor(facts, name, hint) {
  const label = element("span", "", name);
  const stop = element("li", facts.request === 1 ? "stop opened" : "stop", element("b", "", String(facts.request)), label);
  stop.title = `${hint}\nrequest ${facts.request} on this connection, ${facts.age} s old, worker ${facts.worker}`;
  stop.dataset.request = facts.request;
  return stop;
}

function trim(drawn) {
  const stops = drawn.stops.querySelectorAll(".stop:not(.more)");
  for (let index = 0; index < stops.length - SHOWN; index += 1) {
    stops[index].remove();
    drawn.early += 1;
  }
  if (!drawn.early) return;
  let more = drawn.stops.querySelector(".more");
  if (!more) drawn.stops.prepend((more = element("li", "stop more")));
  more.textContent = `${drawn.early} earlier, `;
}

// Draw one stop, in the order of the connection's requests: answers may be reported out of turn.
export function draw(facts, name, hint) {
  counts.requests += 1;
  counts.ports.add(facts.connection);
  counts.workers.add(facts.worker);
  if (facts.request > 1) counts.saved += 1;
  if (!list) return null;
  const drawn = lane(facts);
  const stop = stopFor(facts, name, hint);
  const later = [...drawn.stops.children].find((other) => Number(other.dataset.request) > facts.request);
  drawn.stops.insertBefore(stop, later ?? null);
  drawn.last = performance.now();
  trim(drawn);
  count("requests", counts.requests);
  count("connections", counts.ports.size);
  count("saved", counts.saved);
  count("workers", counts.workers.size);
  return stop;
}

function factsOf(entry) {
  const facts = {};
  for (const { name, description } of entry.serverTiming ?? []) facts[name] = Number(description);
  return facts.connection ? facts : null;
}

function drawEntry(entry) {
  const facts = factsOf(entry);
  const url = new URL(entry.name);
  if (!facts || url.pathname === "/events") return;
  const opening = entry.connectEnd - entry.connectStart;
  const hint = [
    `${url.pathname}${url.search}`,
    `${entry.transferSize} bytes in ${entry.duration.toFixed(1)} ms`,
    opening > 0 ? `opening the connection took ${opening.toFixed(2)} ms` : "the connection was open already",
  ];
  draw(facts, url.searchParams.get("stop") ?? (url.pathname === "/" ? "page" : url.pathname.split("/").pop()), hint.join("\n"));
}

function arrival() {
  const [entry] = performance.getEntriesByType("navigation");
  const facts = entry && factsOf(entry);
  if (!facts) {
    if (list) list.append(element("li", "answer", "This browser tells pages about connections only over HTTPS or on localhost."));
    return;
  }
  const came = facts.request === 1 ? "as the first request" : `as request ${facts.request}`;
  show("arrival", `This page came ${came} on its connection (client port ${facts.connection}), ${facts.age} s after that was opened. Process ${facts.worker} answered.`);
  drawEntry(entry);
}

function ageLanes() {
  for (const { stops, quiet, last } of lanes.values()) {
    const seconds = Math.floor((performance.now() - last) / 1000);
    if (stops.querySelector(".open")) quiet.textContent = "streaming";
    else quiet.textContent = seconds < 2 ? "in use" : `quiet for ${seconds} s`;
  }
}

async function burst(kind, button) {
  button.disabled = true;
  const ask = (number) => fetch(`/api/connection?stop=${kind}-${number}`).then((response) => response.arrayBuffer());
  const numbers = Array.from({ length: 12 }, (_, index) => index + 1);
  try {
    if (kind === "crowd") await Promise.all(numbers.map(ask));
    else for (const number of numbers) await ask(number);
  } finally {
    button.disabled = false;
  }
}

function sweep() {
  Object.assign(counts, { requests: 0, saved: 0, ports: new Set(), workers: new Set() });
  lanes.clear();
  list.replaceChildren();
  for (const id of ["requests", "connections", "saved", "workers"]) count(id, 0);
}

arrival();
new PerformanceObserver((seen) => {
  seen.getEntries().forEach(drawEntry);
  performance.clearResourceTimings();
}).observe({ type: "resource", buffered: true });
if (list) {
  setInterval(ageLanes, 1000);
  ageLanes();
  document.querySelector("#sweep").addEventListener("click", sweep);
  for (const button of document.querySelectorAll("[data-burst]")) {
    button.addEventListener("click", () => burst(button.dataset.burst, button));
  }
}
