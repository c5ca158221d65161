// The live feed, GET /events of the API. EventSource comes back by itself with the id of the last event, over a restart of the server too.

export class Feed {
  constructor(each) {
    this.each = each;
    this.paused = false;
    this.last = "";
  }

  // show puts the state of the feed into an element and a button.
  show(state, button) {
    this.state = state;
    this.button = button;
    button.closest(".feed").hidden = false;
    button.addEventListener("click", () => (this.paused ? this.resume() : this.pause()));
    addEventListener("pagehide", () => this.source?.close());
    this.open();
  }

  open() {
    const source = new EventSource(`${location.origin}/dashboard/api/events`);
    this.source = source;
    source.onopen = () => this.say("live", "live");
    source.onerror = () => {
      this.say("away", "reconnecting");
      if (source.readyState !== EventSource.CLOSED) return;
      // The server refused: it is starting, or the id is too old. From now on, then.
      this.again = setTimeout(() => this.paused || this.open(), 2000);
    };
    const take = (event) => {
      try {
        this.each(JSON.parse(event.data));
      } catch {
        // What is no event of ours changes nothing here.
      }
    };
    source.onmessage = take;
    for (const type of ["ORDER_CREATED", "STOCK_RESERVED", "PAYMENT_CHARGED", "PAYMENT_FAILED", "PAYMENT_REFUNDED", "STOCK_RELEASED", "ORDER_CONFIRMED",
      "ORDER_COMPENSATED", "ORDER_FAILED", "ORDER_CANCELLED", "CANCEL_REQUESTED", "ORDER_REVIEW", "SAGA_REDRIVEN", "STOCK_REJECTED"]) source.addEventListener(type, take);
  }

  pause() {
    this.paused = true;
    clearTimeout(this.again);
    this.source?.close();
    this.say("", "paused");
    this.button.textContent = "Resume";
  }

  resume() {
    this.paused = false;
    this.button.textContent = "Pause";
    this.say("", "connecting");
    this.open();
    this.each({ order_id: "" }); // what was missed is asked for
  }

  say(kind, text) {
    this.state.className = `feed-state ${kind}`;
    this.state.textContent = text;
  }
}
