/**
 * The files of the console. Packages and images contain them prebuilt in `console/static`. In the repository they are
 * built in memory from `console/`, at the first request, and again when a source has changed.
 */
import { existsSync, globSync, readFileSync } from 'node:fs';
import path from 'node:path';

export interface ConsoleFiles {
  /** The page. `{{base}}` is the path of the public URL. */
  html: string;
  /** Scripts and styles by name. A name changes with its content. */
  assets: ReadonlyMap<string, Uint8Array>;
}

/** Resolves to the files, or rejects if they cannot be built. */
export type ReadConsole = () => Promise<ConsoleFiles>;

export function createConsoleReader(): ReadConsole {
  // The folder `console` of the repository, the package or the image: each has this file at the same place.
  const folder = new URL('../../console/', import.meta.resolve('#services/api/main.ts'));
  const prebuilt = new URL('static/', folder);
  if (existsSync(prebuilt)) {
    const files = readPrebuilt(prebuilt);
    return () => Promise.resolve(files);
  }
  // Not a constant path: bundlers leave it alone, and only the repository has the file.
  const builder = new URL('build.ts', folder).href;
  return async () => {
    const { buildConsole } = (await import(builder)) as { buildConsole: ReadConsole };
    return buildConsole();
  };
}

function readPrebuilt(folder: URL): ConsoleFiles {
  const names = globSync('assets/*', { cwd: folder });
  return {
    html: readFileSync(new URL('index.html', folder), 'utf8'),
    assets: new Map(names.map((name) => [path.basename(name), readFileSync(new URL(name, folder))])),
  };
}
