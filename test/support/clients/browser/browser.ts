/** A real browser, if this machine has one: Debian's package `chromium` or `chromium-headless-shell`. */
import { execFile } from 'node:child_process';
import { accessSync, constants } from 'node:fs';
import path from 'node:path';
import { promisify } from 'node:util';

const names = ['chromium-headless-shell', 'chromium', 'google-chrome'];

/** The path of the browser; undefined if none is installed. */
export const browser: string | undefined = (process.env['PATH'] ?? '')
  .split(path.delimiter)
  .flatMap((directory) => names.map((name) => path.join(directory, name)))
  .find(isExecutable);

/**
 * Opens a page, waits until it has loaded, and returns its document as HTML. All host names resolve to this machine.
 */
export async function openPage(file: string, url: string): Promise<string> {
  const flags = ['--headless', '--no-sandbox', '--disable-gpu', '--disable-extensions', '--no-first-run'];
  const hosts = '--host-resolver-rules=MAP * 127.0.0.1';
  const { stdout } = await promisify(execFile)(file, [...flags, hosts, '--dump-dom', url], {
    timeout: 60_000,
  });
  return stdout;
}

function isExecutable(file: string): boolean {
  try {
    accessSync(file, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}
