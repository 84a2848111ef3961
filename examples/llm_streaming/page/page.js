// The page: asks, shows an answer, and lets you cut and mend its connection.

import { AnswerView } from "./answer_view.js";
import { StreamFollower } from "./follower.js";

const $ = (id) => document.getElementById(id);
const view = new AnswerView();
let follower = null;
let offered = null;

// --- asking

$("ask").addEventListener("submit", async (event) => {
  event.preventDefault();
  complain("");
  $("generate").disabled = true;
  try {
    await offerProviders();
    const chosen = document.querySelector("input[name=provider]:checked");
    const answerId = await ask($("prompt").value, chosen.value);
    history.pushState(null, "", `/?stream=${answerId}`);
    show(answerId);
  } catch (error) {
    complain(error.message);
  } finally {
    $("generate").disabled = false;
  }
});

$("prompt").addEventListener("keydown", (event) => {
  if (event.key === "Enter" && !event.shiftKey && !event.isComposing) {
    event.preventDefault();
    $("ask").requestSubmit();
  }
});

for (const chip of document.querySelectorAll(".chip")) {
  chip.addEventListener("click", () => {
    $("prompt").value = chip.textContent;
    $("ask").requestSubmit();
  });
}

async function ask(prompt, provider) {
  const answer = await reach("/answers", {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify({ prompt, provider }),
  });
  const said = await answer.json();
  if (!answer.ok) throw new Error(said.error);
  return said.id;
}

/** Once; but try again when the server could not be reached. */
function offerProviders() {
  offered ??= fetchProviders().catch((error) => {
    offered = null;
    throw error;
  });
  return offered;
}

async function fetchProviders() {
  const { ready, missing } = await (await reach("/providers")).json();
  ready.forEach((one, index) => offer(one.label, one.model, one.name, index === 0));
  missing.forEach((one) => offer(one.label, `needs ${one.variable}`, null, false));
}

function offer(label, detail, name, isChecked) {
  const input = Object.assign(document.createElement("input"), { type: "radio", name: "provider" });
  if (name === null) input.disabled = true;
  else Object.assign(input, { value: name, checked: isChecked });
  const words = document.createElement("span");
  const small = document.createElement("small");
  small.textContent = detail;
  words.append(label, small);
  const choice = document.createElement("label");
  choice.className = "choice";
  choice.append(input, words);
  $("providers").append(choice);
}

async function reach(url, options) {
  try {
    return await fetch(url, options);
  } catch {
    throw new Error("The server cannot be reached. Is it running?");
  }
}

function complain(words) {
  $("ask-problem").textContent = words;
  $("ask-problem").hidden = !words;
}

// --- following

function show(answerId) {
  const path = `/streams/answers/${encodeURIComponent(answerId)}`;
  follower?.stop();
  const mine = new StreamFollower(path, {
    opened: (offset) => mine === follower && view.opened(offset),
    messages: (messages) => mine === follower && view.take(messages, mine.offset),
    closed: () => mine === follower && view.closed(),
    lost: () => mine === follower && view.lost(mine.offset),
    unreachable: () => mine === follower && view.unreachable(),
    gone: () => mine === follower && view.gone(),
  });
  follower = mine;
  view.begin(answerId, new URL(path, location.href));
  follower.follow("-1");
}

$("connection").addEventListener("click", () => {
  if (view.isConnected) {
    follower.stop();
    view.disconnected(follower.offset);
  } else {
    view.connecting();
    follower.follow(follower.offset);
  }
});

$("replay").addEventListener("click", () => {
  view.replayed();
  follower.follow("-1");
});

$("copy").addEventListener("click", async () => {
  try {
    await navigator.clipboard.writeText($("link").value);
  } catch {
    // Without a secure context there is no clipboard; the selection can be copied by hand.
    $("link").select();
    return;
  }
  $("copy").textContent = "Copied";
  setTimeout(() => ($("copy").textContent = "Copy"), 1500);
});

// --- coming to the page

function arrive() {
  const answerId = new URLSearchParams(location.search).get("stream");
  if (answerId) {
    show(answerId);
    return;
  }
  follower?.stop();
  follower = null;
  view.clear();
}

addEventListener("popstate", arrive);
offerProviders().catch((error) => complain(error.message));
arrive();
