// What makes the pages live. They are whole without it.
//
//   data-swap="id ..."   on a form: what it answers replaces these parts of the page, and no more
//   data-auto            on a form: it is sent when something in it changes
//   data-live[="id"]     on a part: it is asked for again when something happened (to that order), once a second at most
//   data-poll="ms"       on a part: it is asked for again so often, as long as it says so
//   data-at="path"       on a part: where it is asked for, if not on this page
//   data-countdown="s"   on a number: it counts down
import { Feed } from "./feed.js";
import { play } from "./play.js";

const pace = 1000; // between two requests for what is live
const said = document.getElementById("said");

// say puts a line into the live region. What the page shows anyway is only heard, by who does not see it.
function say(text, how = "seen") {
  const line = document.createElement("p");
  line.className = how;
  line.textContent = text;
  said.replaceChildren(line);
  clearTimeout(say.timer);
  say.timer = setTimeout(() => said.replaceChildren(), 6000);
}

// here is the address of a path. A page that was opened with a name and a password in its address has them in its base, and a request for
// an address with a password is refused; without them the browser sends what it knows.
const here = (path) => new URL(path, location.origin);

// busyIn reports whether somebody is using a part: it is not taken from under their hands.
function busyIn(part) {
  const at = document.activeElement;
  return part.contains(at) && at.matches("input, select, textarea") || part.querySelector("details[open]") !== null;
}

// twin finds what somebody was at in a part that has come anew: keyboards go on where they were.
function twin(at, old, fresh) {
  if (at === old) return fresh;
  const marks = (e) => JSON.stringify([e.id, e.name, e.type === "checkbox" && e.value, e.getAttribute("href"), e.form?.getAttribute("action")]);
  const alike = (part) => [...part.querySelectorAll(at.tagName)].filter((e) => marks(e) === marks(at));
  return alike(fresh)[alike(old).indexOf(at)];
}

// take replaces parts of this page by those of another.
function take(text, ids) {
  const other = new DOMParser().parseFromString(text, "text/html");
  let taken = 0;
  for (const id of ids) {
    const old = document.getElementById(id);
    const fresh = other.getElementById(id);
    if (!old || !fresh || old.isEqualNode(fresh)) continue;
    const at = old.contains(document.activeElement) ? document.activeElement : null;
    const before = old.dataset.at === fresh.dataset.at ? old.querySelectorAll(".waterfall > li").length : 0; // another run begins anew
    old.replaceWith(document.adoptNode(fresh));
    if (at) twin(at, old, fresh)?.focus({ preventScroll: true });
    arrange(fresh);
    play(fresh, before);
    taken++;
  }
  return { taken, other };
}

// arrange begins what parts ask for.
function arrange(root) {
  for (const part of [root, ...root.querySelectorAll("[data-poll]")]) {
    const every = Number(part.dataset?.poll);
    if (every > 0) setTimeout(() => { if (part.isConnected) refresh([part]); }, every);
  }
}

const waiting = new Set();

// refresh asks for parts again: one request for each address.
async function refresh(parts) {
  const byPath = new Map();
  for (const part of parts) {
    if (!part.isConnected || waiting.has(part.id)) continue;
    if (document.hidden || busyIn(part)) {
      arrange(part);
      continue;
    }
    const path = part.dataset.at ?? location.pathname + location.search;
    byPath.set(path, [...(byPath.get(path) ?? []), part]);
    waiting.add(part.id);
  }
  for (const [path, of] of byPath) {
    try {
      const answer = await fetch(here(path), { headers: { Accept: "text/html" } });
      // What was asked for is old by now where a form has answered meanwhile, and not wanted where somebody has begun to write.
      if (answer.ok) {
        const text = await answer.text();
        take(text, of.filter((p) => p.isConnected && !busyIn(p)).map((p) => p.id));
      }
    } catch {
      // The server is away: the feed says so, and tries again.
    } finally {
      for (const part of of) waiting.delete(part.id);
    }
    for (const part of of) if (part.isConnected) arrange(part); // it was not replaced
  }
}

// send sends a form and takes what it answers.
async function send(form, button) {
  const data = new FormData(form, button);
  const get = form.method === "get";
  const url = here(form.getAttribute("action"));
  if (get) url.search = new URLSearchParams(data).toString();
  button?.setAttribute("aria-busy", "true");
  try {
    const answer = await fetch(url, get ? {} : { method: "POST", body: new URLSearchParams(data) });
    const text = await answer.text();
    if (!answer.ok) {
      const why = new DOMParser().parseFromString(text, "text/html").querySelector("[role=alert] .said-outcome");
      say(why?.textContent.trim() ?? `The server answered ${answer.status}.`);
      return;
    }
    const ids = form.dataset.swap.split(" ");
    take(text, ids);
    if (form.dataset.auto === undefined && ids[0] === "run") {
      const { pathname, search } = new URL(answer.url);
      history.replaceState(null, "", pathname + search);
      const part = document.getElementById(ids[0]);
      part?.scrollIntoView({ block: "nearest" });
      for (const chosen of document.querySelectorAll(".scenario.chosen")) chosen.classList.remove("chosen");
      button?.classList.add("chosen");
    }
    const outcome = document.querySelector(`#${CSS.escape(ids[0])} .said-outcome`);
    if (outcome) say(outcome.textContent.trim().replace(/\s+/g, " "), "heard");
  } catch {
    say("The server cannot be reached.");
  } finally {
    button?.removeAttribute("aria-busy");
  }
}

document.addEventListener("submit", (event) => {
  const form = event.target;
  if (form.dataset.swap === undefined) return;
  event.preventDefault();
  send(form, event.submitter);
});

document.addEventListener("input", (event) => {
  const form = event.target.closest("form[data-auto]");
  if (!form) return;
  clearTimeout(form.timer);
  form.timer = setTimeout(() => send(form), 80);
});

setInterval(() => {
  for (const n of document.querySelectorAll("[data-countdown]")) {
    const left = Math.max(0, Number(n.dataset.countdown) - 1);
    n.dataset.countdown = left;
    n.textContent = left;
  }
}, 1000);

// The feed says that something happened; what, is asked for, so that however much happens it is one request a second.
let due = null;
let about = new Set();
const feed = new Feed((event) => {
  about.add(event.order_id);
  due ??= setTimeout(() => {
    const orders = about;
    due = null;
    about = new Set();
    refresh([...document.querySelectorAll("[data-live]")].filter((p) => p.dataset.live === "" || orders.has(p.dataset.live)));
  }, pace);
});
feed.show(document.getElementById("feed-state"), document.getElementById("feed-pause"));
arrange(document.body);
play(document.body, 0);
