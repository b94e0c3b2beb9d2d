/** The span of a step, from its start to its record, and its time. */
import { instruments } from '#shared/runtime/instruments.ts';
import { inSpan } from '#shared/runtime/spans.ts';

export async function inStepSpan<T>(
  { name, occurrence }: { name: string; occurrence: number },
  run: () => Promise<T>,
): Promise<T> {
  const began = performance.now();
  const attributes = { 'longhaul.step.name': name, 'longhaul.step.occurrence': occurrence };
  return inSpan(`step ${name}`, { attributes }, async () => {
    const result = await run();
    instruments.stepDuration.record((performance.now() - began) / 1000, {
      'longhaul.step.kind': kindOf(name),
    });
    return result;
  });
}

/** The Gemini agent's steps are few; an agent in code may name its own as it likes, and a metric must not follow it. */
function kindOf(name: string): string {
  if (name === 'model') return name;
  return name.startsWith('tool:') ? 'tool' : 'other';
}
