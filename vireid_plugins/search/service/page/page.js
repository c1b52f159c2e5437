"use strict";
// A query is {file} that was chosen here, or {id, name} of an image of the index.
const $ = (id) => document.getElementById(id);
const PAGE = 24;
// Images below the results: those of the index, or of the track of a result.
let track = null, start = 0, total = 0;
// The queries of this tab, for the browser's Back; how many searches began; what images of the index are called.
const queries = [];
let searches = 0, things = "images";
let query = null, answer = null, token = sessionStorage.getItem("token") || "";

async function ask(path, how = {}) {
  const headers = token ? { Authorization: `Bearer ${token}` } : {};
  let response;
  try {
    response = await fetch(path, { ...how, headers });
  } catch {
    throw new Error("The service does not answer. Is it running?");
  }
  if (response.ok) return response;
  const said = await response.json().catch(() => ({}));
  if (response.status === 401) enter(token ? "This is not the token." : "");
  throw new Error(said.error || `The service answered ${response.status}.`);
}

const asked = async (path, how) => (await ask(path, how)).json();

function say(text, bad = false) {
  $("status").textContent = text;
  $("status").classList.toggle("bad", bad);
}

const failed = (error) => say(error.message, true);

function element(name, properties = {}, ...children) {
  const made = Object.assign(document.createElement(name), properties);
  made.append(...children);
  return made;
}

// Requests for pictures need the token too, so they are no plain addresses.
function picture(image, alt) {
  const shown = element("img", { alt, decoding: "async" });
  const none = () => shown.replaceWith(element("span", { className: "none", textContent: "no picture" }));
  if (!image.id) { queueMicrotask(none); return shown; }
  ask(`api/images/${image.id}`).then((response) => response.blob()).then((blob) => {
    shown.src = URL.createObjectURL(blob);
    shown.onload = () => URL.revokeObjectURL(shown.src);
  }).catch(none);
  return shown;
}

// A line may end behind each part of a name.
const breakable = (path) => path.replace(/[/_-]/g, "$&\u200b");
const time = (text) => text.replace("T", " ").replace("+00:00", " UTC");

function facts(image) {
  const known = [image.modality, image.camera && `camera ${image.camera}`, time(image.time)];
  const own = Object.entries(image.columns).map(([name, value]) => `${name} ${value}`);
  return [...known, image.track && `track ${image.track}`, ...own].filter(Boolean).join(", ");
}

function conditions() {
  const found = new URLSearchParams();
  for (const name of ["camera", "since", "until", "folder"]) if ($(name).value.trim()) found.set(name, $(name).value.trim());
  for (const line of $("where").value.split("\n")) if (line.trim()) found.append("where", line.trim());
  return found;
}

function choose(chosen) {
  query = chosen;
  answer = null;
  $("go").disabled = false;
  $("guess").textContent = "";
  $("named").textContent = breakable(chosen.file ? chosen.file.name : chosen.name);
  const before = $("preview");
  const preview = chosen.file ? element("img", { src: URL.createObjectURL(chosen.file) }) : picture(chosen, "");
  Object.assign(preview, { id: "preview", alt: "the query" });
  // Browsers show no TIFF or PGM; the service reads them all the same.
  if (chosen.file) preview.onerror = () => { preview.hidden = true; };
  before.replaceWith(preview);
  $("modality").disabled = !chosen.file;
}

async function search(event) {
  event?.preventDefault();
  if (!query) return;
  const wanted = conditions();
  wanted.set("find", document.querySelector("input[name=find]:checked").value);
  wanted.set("top", $("top").value);
  if ($("people").checked) wanted.set("people", "true");
  if (query.file) wanted.set("modality", $("modality").value);
  else wanted.set("like", query.id);
  const number = ++searches;
  say("Searching ...");
  $("go").disabled = true;
  remember();
  try {
    const found = await asked(`api/search?${wanted}`, query.file ? { method: "POST", body: query.file } : {});
    // Another search may have begun meanwhile.
    if (number !== searches) return;
    answer = found;
    show();
    say("");
  } catch (error) {
    if (number === searches) failed(error);
  } finally {
    if (number === searches) $("go").disabled = false;
  }
}

// The browser's Back returns to the query before.
function remember() {
  if (queries.length && queries[history.state?.number] === query) return;
  queries.push(query);
  history[queries.length === 1 ? "replaceState" : "pushState"]({ number: queries.length - 1 }, "");
}

window.onpopstate = (event) => {
  const before = queries[event.state?.number];
  if (before) { choose(before); search(); }
};

function show() {
  const { modality, modality_sure: sure } = answer.query;
  const guessed = query.file && $("modality").value === "auto";
  $("guess").textContent = guessed && !sure ? `${modality}, unsure: choose the modality above` : modality;
  const count = answer.hits.length;
  $("heading").textContent = `${count} of ${answer.searched} ${things}`;
  if ($("people").checked) $("heading").textContent = `${count} people in ${answer.searched} ${things}`;
  $("verdict").textContent = {
    match: "Match: the first image shows this person, as far as the calibration tells.",
    unsure: "Unsure: the first image may show this person.",
    nobody: "Nobody: the index does not seem to have this person.",
  }[answer.verdict] || (count ? "" : "No image passes these conditions.");
  $("hits").replaceChildren(...answer.hits.map(card));
  $("results").hidden = false;
  $("heading").focus();
  // Where they are below the form, the results begin at the top.
  if (matchMedia("(max-width: 760px)").matches) $("heading").scrollIntoView();
}

function card(hit) {
  const said = `${hit.rank}. cosine ${hit.cosine.toFixed(3)}${hit.verdict ? `, ${hit.verdict}` : ""}`;
  const more = hit.alike.length ? `, and ${hit.alike.length} more` : "";
  const right = element("button", { type: "button", textContent: "Right" });
  const wrong = element("button", { type: "button", textContent: "Wrong" });
  const like = element("button", { type: "button", textContent: "More like this", className: "like" });
  const made = element("li", {},
    picture(hit, `result ${hit.rank}: ${hit.name}`),
    element("p", { textContent: said }),
    element("p", { className: "soft", textContent: `${facts(hit)}${more}` }),
    element("p", { className: "soft", textContent: breakable(hit.name) }),
    element("div", { className: "buttons" }, right, wrong, like));
  if (hit.frames > 1) {
    const frames = element("button", { type: "button", textContent: `Its ${hit.frames} images`, className: "frames" });
    frames.setAttribute("aria-label", `the ${hit.frames} images of the track of result ${hit.rank}`);
    frames.onclick = () => list(hit, frames);
    made.lastChild.append(frames);
  }
  const draw = () => {
    made.className = hit.same === null ? "" : hit.same ? "yes" : "no";
    right.setAttribute("aria-pressed", hit.same === true);
    wrong.setAttribute("aria-pressed", hit.same === false);
    right.setAttribute("aria-label", `result ${hit.rank} is right`);
    wrong.setAttribute("aria-label", `result ${hit.rank} is wrong`);
    like.setAttribute("aria-label", `more like result ${hit.rank}`);
  };
  const [from, of] = [query, answer.query.id];
  const mark = (same) => () => {
    const before = hit.same;
    hit.same = before === same ? null : same;
    draw();
    keep(from, of, hit).catch((error) => { hit.same = before; draw(); failed(error); });
  };
  right.onclick = mark(true);
  wrong.onclick = mark(false);
  like.onclick = () => { choose(hit); search(); };
  if (!hit.id) for (const button of [right, wrong, like]) button.disabled = true;
  draw();
  return made;
}

async function keep(from, of, hit) {
  const pair = new URLSearchParams({ file: hit.id });
  if (hit.same === null || !from.file) pair.set("query", of);
  if (hit.same !== null) pair.set("same", hit.same ? "yes" : "no");
  if (hit.same === null) {
    await ask(`api/marks?${pair}`, { method: "DELETE" });
    say("The mark is taken back.");
  } else {
    const { kept } = await asked(`api/marks?${pair}`, { method: "POST", body: from.file || null });
    say(kept ? "Marked; the query image is kept with it." : "Marked.");
  }
}

// Show the images of the track of a result, or of the index if there is none.
async function list(hit, from = null) {
  [track, start] = [hit, 0];
  $("return").onclick = () => from.focus();
  await browse().catch(failed);
  $("all").focus();
}

async function browse() {
  const wanted = track ? new URLSearchParams() : conditions();
  wanted.set("start", start);
  wanted.set("count", PAGE);
  const found = await asked(`api/images${track ? `/${track.id}/frames` : ""}?${wanted}`);
  $("all").textContent = track ? `Images of the track ${track.track}, by time` : "Images of the index";
  $("whole").hidden = $("return").hidden = !track;
  total = found.total;
  $("place").textContent = total ? `${start + 1} to ${Math.min(start + PAGE, total)} of ${total}` : "none";
  $("back").disabled = start === 0;
  $("next").disabled = start + PAGE >= total;
  $("images").replaceChildren(...found.images.map((image) => {
    const button = element("button", { type: "button" }, picture(image, ""), breakable(image.name));
    button.setAttribute("aria-label", `use ${image.name} as the query`);
    button.disabled = !image.id;
    button.onclick = () => { choose(image); search(); };
    return element("li", {}, button);
  }));
}

function enter(text) {
  $("main").hidden = true;
  $("login").hidden = false;
  $("about").textContent = text;
  $("token").focus();
}

async function begin() {
  const index = await asked("api/index");
  $("login").hidden = true;
  $("main").hidden = false;
  const times = index.times.length ? `, from ${time(index.times[0])} to ${time(index.times[1])}` : "";
  if (index.frames) things = "tracks and images";
  const what = index.frames ? `${index.images} tracks and single images, made of ${index.frames} images` : `${index.images} images`;
  $("about").textContent = `${what}: ${index.visible} visible, ${index.infrared} infrared${times}` +
    (index.thresholds ? `. Calibrated: at most ${100 * index.thresholds.rate} % of unknown people are a match.` : ".");
  $("cameras").replaceChildren(...index.cameras.map((name) => element("option", { value: name })));
  $("columns").textContent = index.columns.length ? `Its columns are ${index.columns.join(", ")}.` : "It has no columns of its own.";
  $("top").max = index.top;
  await browse();
}

$("search").onsubmit = search;
$("login").onsubmit = (event) => {
  event.preventDefault();
  token = $("token").value;
  sessionStorage.setItem("token", token);
  begin().catch((error) => { $("about").textContent = error.message; });
};
$("file").onchange = () => { if ($("file").files[0]) choose({ file: $("file").files[0] }); };
const button = document.querySelector("label[for=file]");
$("file").onfocus = () => button.classList.add("focused");
$("file").onblur = () => button.classList.remove("focused");
for (const name of ["dragover", "dragleave", "drop"]) {
  $("query").addEventListener(name, (event) => {
    event.preventDefault();
    $("query").classList.toggle("over", name === "dragover");
    if (name === "drop" && event.dataTransfer.files[0]) choose({ file: event.dataTransfer.files[0] });
  });
}
$("browse").onclick = (event) => { if (track) { event.preventDefault(); list(null); } else $("all").focus(); };
$("whole").onclick = () => list(null);
$("filters").oninput = () => {
  const count = [...conditions()].length;
  $("conditions").textContent = count ? ` (${count} ${count === 1 ? "condition" : "conditions"})` : "";
};
$("filters").onchange = () => {
  [track, start] = [null, 0];
  browse().then(() => say(""), failed);
};
$("back").onclick = () => { start = Math.max(0, start - PAGE); browse().catch(failed); };
$("next").onclick = () => { start += PAGE; browse().catch(failed); };
begin().catch((error) => { $("about").textContent ||= error.message; });
