/**
 * The cost of scrolling a page: the CPU time of its main thread in each frame. Time in which the thread waits
 * for a core is not in it, so a loaded machine measures the same as an idle one.
 */
// cspell:ignore tdur
import type { Page } from 'playwright-core';

export interface Frames {
  /** CPU milliseconds of the main thread in each frame, ascending. */
  cpuMs: readonly number[];
  /** CPU milliseconds of the longest task. */
  longestTaskMs: number;
}

interface TraceEvent {
  name: string;
  pid: number;
  tid: number;
  ts: number;
  dur?: number;
  /** CPU time. */
  tdur?: number;
}

/**
 * Scrolls a box, a step in each frame, and returns the cost of the frames.
 *
 * @param box selects the box
 * @param step pixels in each frame; negative: towards the start
 */
export async function measureScroll(
  page: Page,
  { box, step, frames }: { box: string; step: number; frames: number },
): Promise<Frames> {
  const browser = page.context().browser();
  if (browser === null) throw new Error('the page has no browser');
  await browser.startTracing(page, {
    categories: ['devtools.timeline', 'disabled-by-default-devtools.timeline'],
  });
  await scroll(page, { box, step, until: `frame > ${frames}` });
  const { traceEvents } = JSON.parse((await browser.stopTracing()).toString()) as {
    traceEvents: TraceEvent[];
  };
  return sumFrames(traceEvents);
}

/** @param until a condition on `list` (the box) and `frame`, as an expression */
export async function scroll(
  page: Page,
  { box, step, until }: { box: string; step: number; until: string },
): Promise<void> {
  await page.evaluate(`
    new Promise((resolve) => {
      const list = document.querySelector('${box}');
      let frame = 0;
      const next = () => {
        frame += 1;
        list.scrollTop += ${step};
        if (${until}) resolve();
        else requestAnimationFrame(next);
      };
      requestAnimationFrame(next);
    })`);
}

/** A frame starts with the task that calls back for an animation frame, and has all tasks until the next one. */
function sumFrames(events: readonly TraceEvent[]): Frames {
  const callbacks = events.filter(({ name }) => name === 'FireAnimationFrame').sort((a, b) => a.ts - b.ts);
  const [first] = callbacks;
  if (first === undefined) throw new Error('the trace has no frames');
  const tasks = events
    .filter(({ name, pid, tid }) => name === 'RunTask' && pid === first.pid && tid === first.tid)
    .sort((a, b) => a.ts - b.ts);
  if (tasks.every(({ tdur }) => tdur === undefined)) throw new Error('the trace has no CPU times');
  const cpu: number[] = [];
  let next = 0;
  let longestTaskMs = 0;
  for (const { ts, dur = 0, tdur = 0 } of tasks) {
    while ((callbacks[next]?.ts ?? Infinity) < ts) next += 1;
    if ((callbacks[next]?.ts ?? Infinity) <= ts + dur) cpu.push(0);
    if (cpu.length === 0) continue;
    cpu.push((cpu.pop() ?? 0) + tdur / 1000);
    longestTaskMs = Math.max(longestTaskMs, tdur / 1000);
  }
  return { cpuMs: cpu.toSorted((a, b) => a - b), longestTaskMs };
}
