/** Rewrites the imports of a declaration: `#shared/domain/task.ts` becomes `../shared/domain/task.js`. */
import path from 'node:path';

/** @param folder of the declaration, relative to the root of the package */
export function rewriteSpecifiers(text: string, folder: string): string {
  return text.replaceAll(
    /(['"])(#(?:shared|services)\/[^'"]+|\.[^'"]*)\.ts\1/g,
    (_, quote, target: string) => {
      const relative = target.startsWith('#') ? path.posix.relative(folder, target.slice(1)) : target;
      return `${quote}${relative.startsWith('.') ? relative : `./${relative}`}.js${quote}`;
    },
  );
}
