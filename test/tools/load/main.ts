/**
 * `npm run load`: measures the cases of docs/load.md. `npm run load -- slow` runs one case with a slow or refusing model, and
 * `npm run load -- neighbours` measures one owner next to hostile ones. Exits with 1 if a condition does not hold.
 */
import { caseNames, runModelCases } from './model-cases.ts';
import { runNeighbours } from './neighbours/command.ts';

const [command, ...rest] = process.argv.slice(2);
if (command === 'neighbours') {
  await runNeighbours(rest);
} else {
  const requested = command === undefined ? [] : [command, ...rest];
  const unknown = requested.filter((name) => !caseNames.includes(name));
  if (unknown.length > 0) {
    console.error(
      `unknown case ${unknown.join(', ')} (expected ${caseNames.join(', ')}, or neighbours with its options)`,
    );
    process.exit(2);
  }
  await runModelCases(requested.length === 0 ? caseNames : requested);
}
process.exit();
