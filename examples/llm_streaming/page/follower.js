// Follows one JSON stream by Server-Sent Events, over lost connections. Knows nothing of the page.

const SHORTEST_PAUSE = 100;
const LONGEST_PAUSE = 3000;

export class StreamFollower {
  #url;
  #told;
  #source = null;
  #timer = null;
  #pause = SHORTEST_PAUSE;

  /**
   * `told` has the functions that are called:
   * `opened(offset)` when a connection stands, `messages(list)`, `closed()` when nothing can follow,
   * `lost()` when a connection has ended, `unreachable()` when there is no way to the server for now,
   * and `gone()` when there is no such stream.
   */
  constructor(url, told) {
    this.#url = url;
    this.#told = told;
    this.offset = "-1";
    addEventListener("online", this.#hurry);
  }

  /** Follow from an offset on; "-1" is the beginning. */
  follow(offset) {
    this.stop();
    this.offset = offset;
    this.#pause = SHORTEST_PAUSE;
    this.#open();
  }

  stop() {
    this.#source?.close();
    this.#source = null;
    clearTimeout(this.#timer);
    this.#timer = null;
  }

  #open() {
    this.#timer = null;
    const begunAt = this.offset;
    const source = new EventSource(`${this.#url}?offset=${encodeURIComponent(begunAt)}&live=sse`);
    this.#source = source;
    let isNew = true;
    let waiting = [];
    source.addEventListener("data", (event) => waiting.push(...JSON.parse(event.data)));
    // Data count when the offset behind them is known. If the line is cut in between, they will come again.
    source.addEventListener("control", (event) => {
      const control = JSON.parse(event.data);
      this.offset = control.streamNextOffset;
      this.#pause = SHORTEST_PAUSE;
      if (isNew) this.#told.opened(begunAt);
      isNew = false;
      const messages = waiting;
      waiting = [];
      this.#told.messages(messages);
      if (control.streamClosed && this.#source === source) {
        this.stop();
        this.#told.closed();
      }
    });
    source.addEventListener("error", () => this.#lost(source, !isNew));
  }

  async #lost(source, wasOpen) {
    // Left alone, an EventSource asks for its first offset again; we know a better one.
    source.close();
    if (this.#source !== source) return;
    if (wasOpen) this.#told.lost();
    const status = await this.#look();
    if (this.#source !== source) return;
    if (status === 404 || status === 410) {
      this.stop();
      this.#told.gone();
      return;
    }
    if (status !== 200) this.#told.unreachable();
    this.#timer = setTimeout(() => this.#open(), this.#pause);
    this.#pause = Math.min(2 * this.#pause, LONGEST_PAUSE);
  }

  /** The HTTP status of the stream, or null where there is no answer. An EventSource does not tell it. */
  async #look() {
    try {
      return (await fetch(this.#url, { method: "HEAD", cache: "no-store" })).status;
    } catch {
      return null;
    }
  }

  #hurry = () => {
    if (this.#timer === null) return;
    clearTimeout(this.#timer);
    this.#open();
  };
}
