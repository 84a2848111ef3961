// The page came with everything up to data-offset. From there on the browser follows by itself.

const { stream, shown } = document.body.dataset;
const entries = document.getElementById("entries");
const total = document.getElementById("total");
const status = document.getElementById("status");
let offset = document.body.dataset.offset;

function follow() {
  const source = new EventSource(`${stream}?offset=${encodeURIComponent(offset)}&live=sse`);
  let waiting = [];
  source.addEventListener("data", (event) => waiting.push(...JSON.parse(event.data)));
  // Messages count when the offset behind them is known; if the line is cut in between, they come again.
  source.addEventListener("control", (event) => {
    offset = JSON.parse(event.data).streamNextOffset;
    waiting.forEach(show);
    waiting = [];
    tell("live", "Live");
  });
  source.addEventListener("error", () => {
    source.close();
    tell("lost", "Reconnecting …");
    setTimeout(follow, 500);
  });
}

function show({ who, what, at }) {
  const item = document.createElement("li");
  item.className = "fresh";
  const parts = { b: who, span: what, time: new Date(1000 * at).toISOString().slice(11, 19) + " UTC" };
  for (const [name, words] of Object.entries(parts)) {
    const part = document.createElement(name);
    part.textContent = words;
    item.append(part, " ");
  }
  entries.prepend(item);
  while (entries.children.length > Number(shown)) entries.lastElementChild.remove();
  total.textContent = Number(total.textContent) + 1;
}

function tell(state, words) {
  if (status.dataset.state === state) return;
  status.dataset.state = state;
  status.textContent = words;
}

document.getElementById("write").addEventListener("submit", async (event) => {
  event.preventDefault();
  const form = event.target;
  try {
    await fetch("/", { method: "POST", body: new URLSearchParams(new FormData(form)), redirect: "manual" });
  } catch {
    return; // The words stay in the form, and the line above it says that there is no connection.
  }
  form.elements.what.value = "";
  form.elements.what.focus();
});

follow();
