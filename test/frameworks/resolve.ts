/**
 * Lets files of the repository import the frameworks from one of the two folders that `npm run frameworks` installs:
 * `FRAMEWORKS=highest` or `lowest`. Preloaded by `--import`, also in the processes that a test starts.
 */
import { readFileSync } from 'node:fs';
import { registerHooks } from 'node:module';
import path from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';

const folder = path.join(import.meta.dirname, process.env['FRAMEWORKS'] ?? 'highest');
const root = `${pathToFileURL(path.resolve(import.meta.dirname, '../..')).href}/`;
const manifest = path.join(folder, 'package.json');
const { dependencies } = JSON.parse(readFileSync(manifest, 'utf8')) as {
  dependencies: Record<string, string>;
};
const names = Object.keys(dependencies);

registerHooks({
  resolve: (specifier, context, next) => {
    const { parentURL = '' } = context;
    const isFramework = names.some((name) => specifier === name || specifier.startsWith(`${name}/`));
    const isOurs = parentURL.startsWith(root) && !fileURLToPath(parentURL).includes('node_modules');
    return next(
      specifier,
      isFramework && isOurs ? { ...context, parentURL: pathToFileURL(manifest).href } : context,
    );
  },
});
