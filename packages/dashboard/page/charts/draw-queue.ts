/** Drawing takes this much of a frame at most, one chart at least: the page stays smooth however many charts there are. */
const budgetMs = 6;

const due = new Set<() => void>();
let running = false;

/** Has something drawn within the next frames; asked for again before that, it is drawn once. */
export function drawSoon(draw: () => void): void {
  due.add(draw);
  if (running) return;
  running = true;
  requestAnimationFrame(run);
}

/** What was asked for need not be drawn any more. */
export function drawNever(draw: () => void): void {
  due.delete(draw);
}

function run(): void {
  const endMs = performance.now() + budgetMs;
  for (const draw of due) {
    due.delete(draw);
    draw();
    if (performance.now() >= endMs) break;
  }
  running = due.size > 0;
  if (running) requestAnimationFrame(run);
}
