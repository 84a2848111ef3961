// What the page shows of one answer: its text, its state, and what has happened to it.

const $ = (id) => document.getElementById(id);

const WORDS = {
  ready: "Ready",
  connecting: "Connecting …",
  streaming: "Streaming",
  disconnected: "Disconnected",
  reconnecting: "Reconnecting …",
  complete: "Complete",
  error: "Error",
};
const LONGEST_HISTORY = 50;

export class AnswerView {
  #empty = $("text").innerHTML;
  #state = "ready";
  #tokens = 0;
  #error = "";

  /** An answer that has not been shown before. */
  begin(answerId, url) {
    this.clear();
    $("text").replaceChildren();
    $("history").replaceChildren();
    const link = new URL(`/?stream=${answerId}`, url);
    $("link").value = link;
    $("join").href = link;
    $("curl").textContent = `curl -N '${url}?offset=-1&live=sse'`;
    $("share").hidden = false;
    $("replay").disabled = false;
    this.#become("connecting");
    // On a phone the answer would begin below the screen.
    if (matchMedia("(max-width: 57.99rem)").matches) $("text").closest(".answer").scrollIntoView();
  }

  /** No answer at all. */
  clear() {
    this.#reset();
    $("text").innerHTML = this.#empty;
    $("asked").hidden = true;
    $("provider").textContent = "–";
    $("offset").textContent = "–";
    $("share").hidden = true;
    $("replay").disabled = true;
    $("history").replaceChildren(listItem("Nothing yet.", "empty"));
    document.title = "Tokens that survive";
    this.#become("ready");
  }

  /** The same answer, from its first token. */
  replayed() {
    this.#reset();
    this.#happened("Replay from the start");
    this.#become("connecting");
  }

  #reset() {
    this.#tokens = 0;
    this.#error = "";
    $("text").replaceChildren();
    $("tokens").textContent = "0";
    $("note").textContent = "";
    $("problem").hidden = true;
  }

  get isConnected() {
    return ["connecting", "streaming", "reconnecting"].includes(this.#state);
  }

  // --- what the follower tells

  connecting() {
    this.#become("connecting");
  }

  opened(offset) {
    this.#become("streaming");
    if (offset === "-1") {
      this.#happened("Connected, from the start");
      return;
    }
    this.#happened(`Resumed from ${position(offset)}`);
    $("note").textContent = `resumed from ${offset}`;
  }

  take(messages, offset) {
    let text = "";
    for (const message of messages) {
      if ("token" in message) {
        text += message.token;
        this.#tokens += 1;
      } else if (message.status === "started") {
        this.#started(message);
      } else if (message.status === "error") {
        this.#error = message.error;
      }
    }
    $("tokens").textContent = this.#tokens.toLocaleString("en");
    $("offset").textContent = offset;
    if (text) this.#write(text);
  }

  closed() {
    if (this.#error) {
      this.#fail(this.#error);
    } else {
      this.#become("complete");
    }
    this.#happened("The stream is closed");
  }

  lost(offset) {
    this.#happened(`Connection ended at ${position(offset)}`);
  }

  unreachable() {
    if (this.#state !== "reconnecting") this.#happened("The server cannot be reached; trying again");
    this.#become("reconnecting");
  }

  gone() {
    this.#fail("There is no such answer, or no longer: answers are kept for a week after their last use.");
  }

  disconnected(offset) {
    this.#become("disconnected");
    this.#happened(`Disconnected at ${position(offset)}`);
    $("note").textContent = "Disconnected by you. The answer goes on being written.";
  }

  // --- showing

  #started(message) {
    $("asked").textContent = message.prompt;
    $("asked").hidden = false;
    $("provider").textContent = message.provider;
    $("provider").title = message.model;
    document.title = `${message.prompt.slice(0, 60)} · Tokens that survive`;
  }

  #write(text) {
    const box = $("text");
    const isAtEnd = box.scrollTop + box.clientHeight >= box.scrollHeight - 40;
    const span = document.createElement("span");
    span.className = "fresh";
    span.textContent = text;
    box.append(span);
    if (isAtEnd) box.scrollTop = box.scrollHeight;
  }

  #fail(words) {
    $("problem").textContent = words;
    $("problem").hidden = false;
    this.#become("error");
  }

  #become(state) {
    this.#state = state;
    $("status").dataset.state = state;
    $("status").textContent = WORDS[state];
    $("text").setAttribute("aria-busy", String(state === "streaming"));
    $("connection").textContent = state === "disconnected" ? "Resume" : "Disconnect";
    $("connection").disabled = !this.isConnected && state !== "disconnected";
  }

  #happened(words) {
    const history = $("history");
    history.querySelector(".empty")?.remove();
    const item = listItem(words);
    const time = document.createElement("time");
    time.textContent = new Date().toLocaleTimeString("en-GB");
    item.prepend(time);
    history.prepend(item);
    while (history.children.length > LONGEST_HISTORY) history.lastChild.remove();
  }
}

function listItem(words, className = "") {
  const item = document.createElement("li");
  item.className = className;
  item.textContent = words;
  return item;
}

/** The tail of an offset, which is enough for the eye: offsets are opaque, so there is nothing to work out from them. */
function position(offset) {
  return offset === "-1" ? "the start" : `…${offset.slice(-8)}`;
}
