// A saga takes twenty milliseconds, too short to be seen: what is new of its way is shown again, one state after the other.

const each = 140; // milliseconds a state

export function play(root, from) {
  const rows = [...root.querySelectorAll(".waterfall > li")].slice(from);
  if (rows.length < 2 || matchMedia("(prefers-reduced-motion: reduce)").matches) return;
  const states = [...root.querySelectorAll(".saga-graph [data-state].visited")];
  const order = rows.map((row) => row.querySelector(".name")?.textContent ?? "");
  const steps = order.map((name, i) => [rows[i], ...states.filter((s) => s.dataset.state === name)]);
  const edges = [...root.querySelectorAll(".saga-graph .edge.taken")].filter((edge) => order.includes(edge.dataset.to));
  for (const step of steps) for (const part of step) part.classList.add("to-come");
  for (const edge of edges) edge.classList.add("to-come");
  steps.forEach((step, i) => setTimeout(() => {
    for (const part of step) part.classList.remove("to-come");
    for (const edge of edges) if (edge.dataset.to === order[i]) edge.classList.remove("to-come");
  }, i * each));
}
