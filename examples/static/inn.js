// The rooms of the inn: guestbook, clock, parcel counter and cellar.

import { draw } from "./lab.js";

const $ = (id) => document.getElementById(id);
const CHECKED_HERE = 64 * 1024 * 1024;

function bytes(count) {
  const units = ["bytes", "KiB", "MiB", "GiB"];
  let unit = 0;
  let value = count;
  for (; value >= 1024 && unit < units.length - 1; unit += 1) value /= 1024;
  return `${unit ? value.toFixed(1) : value} ${units[unit]}`;
}

function answer(place, text, kind = "", digest = "") {
  place.replaceChildren(text);
  place.classList.toggle("good", kind === "good");
  place.classList.toggle("bad", kind === "bad");
  if (digest) place.append(Object.assign(document.createElement("code"), { textContent: digest }));
}

async function sha256(blob) {
  if (!globalThis.crypto?.subtle || blob.size > CHECKED_HERE) return null;
  const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", await blob.arrayBuffer()));
  return Array.from(digest, (octet) => octet.toString(16).padStart(2, "0")).join("");
}

// ---- guestbook

function ago(created) {
  const seconds = (new Date(created) - Date.now()) / 1000;
  const format = new Intl.RelativeTimeFormat("en", { numeric: "auto" });
  for (const [unit, length] of [["day", 86400], ["hour", 3600], ["minute", 60]]) {
    if (-seconds >= length) return format.format(Math.round(seconds / length), unit);
  }
  return "just now";
}

function colour(author) {
  return `c${[...author].reduce((sum, character) => sum + character.codePointAt(0), 0) % 6}`;
}

function card(note) {
  const made = document.createElement("li");
  made.className = `note ${colour(note.author)}`;
  const quote = Object.assign(document.createElement("blockquote"), { textContent: note.text });
  const author = Object.assign(document.createElement("cite"), { textContent: note.author });
  const when = Object.assign(document.createElement("a"), { textContent: ago(note.created), href: `/notes/${note.id}`, title: note.created });
  const remove = Object.assign(document.createElement("button"), { type: "button", className: "quiet", textContent: "Remove" });
  remove.setAttribute("aria-label", `Remove the note by ${note.author}`);
  remove.addEventListener("click", async () => {
    remove.disabled = true;
    await fetch(`/api/notes/${note.id}`, { method: "DELETE" });
    await listNotes();
  });
  const foot = document.createElement("p");
  const signed = document.createElement("span");
  signed.append(author, " ", when);
  foot.append(signed, remove);
  made.append(quote, foot);
  return made;
}

async function listNotes() {
  const { notes } = await (await fetch("/api/notes?limit=60")).json();
  $("notes").replaceChildren(...notes.map(card));
}

async function write(event) {
  event.preventDefault();
  const form = event.target;
  const note = Object.fromEntries(new FormData(form));
  const response = await fetch("/api/notes", { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(note) });
  const told = await response.json();
  if (!response.ok) {
    const complaints = Object.entries(told.fields ?? {}).map(([field, what]) => `${field} ${what}`);
    answer($("written"), complaints.join("; ") || told.error, "bad");
    return;
  }
  answer($("written"), "Thank you.", "good");
  form.elements.text.value = "";
  await listNotes();
}

// ---- clock

function wind() {
  const button = $("wind");
  const source = new EventSource("/events?limit=60&interval=1");
  let stop = null;
  button.textContent = "Stop it";
  const end = (text) => {
    source.close();
    stop?.classList.remove("open");
    button.textContent = "Wind it up";
    button.onclick = wind;
    answer($("ticking"), text);
  };
  button.onclick = () => end("Stopped by you; the server saw the connection close.");
  let port = 0;
  source.addEventListener("tick", (event) => {
    const told = JSON.parse(event.data);
    $("tick").textContent = $("ticks").value = told.tick;
    $("of").textContent = $("ticks").max = told.of;
    if (told.connection && told.connection !== port) {
      port = told.connection;
      stop?.classList.remove("open");
      stop = draw(told, "events", "/events\nstill open");
      stop?.classList.add("open");
      answer($("ticking"), `Held open on port ${port}.`, "good");
    }
  });
  source.addEventListener("end", () => end("It has run down."));
  source.onerror = () => answer($("ticking"), "Cut off; asking again.", "bad");
}

// ---- parcel counter

function send(file) {
  const request = new XMLHttpRequest();
  request.open("PUT", `/upload?name=${encodeURIComponent(file.name)}`);
  request.upload.onprogress = (event) => ($("sent").value = event.loaded / (event.total || 1));
  request.onerror = () => answer($("receipt"), "The connection broke.", "bad");
  request.onload = async () => {
    const told = JSON.parse(request.responseText);
    if (request.status !== 200) return answer($("receipt"), told.error, "bad");
    $("sent").value = 1;
    const same = (await sha256(file)) === told.sha256;
    answer($("receipt"), `${told.name}: ${bytes(told.size)}${same ? ", arrived whole" : ""}`, same ? "good" : "", told.sha256);
  };
  $("sent").value = 0;
  answer($("receipt"), `Handing in ${file.name} ...`);
  request.send(file);
}

function openCounter() {
  const drop = $("drop");
  $("file").addEventListener("change", (event) => {
    if (event.target.files[0]) send(event.target.files[0]);
    event.target.value = "";
  });
  for (const kind of ["dragover", "dragleave", "drop"]) {
    drop.addEventListener(kind, (event) => {
      event.preventDefault();
      drop.classList.toggle("over", kind === "dragover");
      if (kind === "drop" && event.dataTransfer.files[0]) send(event.dataTransfer.files[0]);
    });
  }
}

// ---- cellar

async function pour() {
  const size = Number($("size").value);
  const from = performance.now();
  const kept = [];
  let got = 0;
  $("pour").disabled = true;
  answer($("tasted"), "Pouring ...");
  try {
    const response = await fetch(`/download?size=${size}`);
    const reader = response.body.getReader();
    for (let part = await reader.read(); !part.done; part = await reader.read()) {
      got += part.value.length;
      if (size <= CHECKED_HERE) kept.push(part.value);
      $("poured").value = got / size;
    }
    const seconds = (performance.now() - from) / 1000;
    const { sha256: known } = await (await fetch(`/download/sha256?size=${size}`)).json();
    const verdict = size <= CHECKED_HERE && (await sha256(new Blob(kept))) === known ? "digest as announced" : "length as announced";
    answer($("tasted"), `${bytes(got)} in ${seconds.toFixed(2)} s, ${bytes(got / seconds)}/s, ${got === size ? verdict : "cut short"}.`, got === size ? "good" : "bad", known);
  } catch (error) {
    answer($("tasted"), `Broken off: ${error.message}`, "bad");
  } finally {
    $("pour").disabled = false;
  }
}

if ($("guestbook")) {
  listNotes();
  $("write").addEventListener("submit", write);
  $("wind").onclick = wind;
  openCounter();
  $("pour").addEventListener("click", pour);
  $("size").addEventListener("change", (event) => ($("take").href = `/download?size=${event.target.value}`));
}
