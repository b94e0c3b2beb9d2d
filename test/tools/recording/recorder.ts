/** Runs commands of `longhaul` in a terminal, one after the other, and records what it shows, with the prompts. */
// cspell:ignore qefc
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import type { OutputEvent } from './cast.ts';

const main = fileURLToPath(new URL('../../../services/cli/main.ts', import.meta.url));
const prompt = '\u001b[1m$ \u001b[22m';
/** Recordings of different runs are alike: ids are the same, and times are rounded. */
const exampleIds = ['019ad3a0-2c00-7a61-9b4b-0d6c5a3f1e20', '019ad3a0-51f8-7c02-8e17-6b2f9d40c7a3'];
const stepSeconds = 0.05;
const keySeconds = 0.05;
const pauseSeconds = 0.8;

export class Recorder {
  readonly events: OutputEvent[] = [];
  readonly #env: Record<string, string>;
  readonly #ids = new Map<string, string>();
  #now = 0;

  constructor(env: Record<string, string>) {
    this.#env = env;
  }

  /**
   * Types a command, and records its output until it ends.
   *
   * @param words as a shell reads them
   * @returns the output
   * @throws {Error} if the command fails
   */
  async run(words: readonly string[]): Promise<string> {
    this.#add(0, prompt);
    for (const key of this.#withExampleIds(['longhaul', ...words].join(' '))) this.#add(keySeconds, key);
    this.#add(pauseSeconds, '\r\n');
    const command = [process.execPath, main].map((file) => `'${file}'`).join(' ');
    const child = spawn('script', ['-qefc', `${command} ${words.join(' ')}`, '/dev/null'], {
      stdio: ['ignore', 'pipe', 'inherit'],
      env: { PATH: process.env['PATH'], HOME: '/nonexistent', SHELL: '/bin/sh', TERM: 'xterm', ...this.#env },
    });
    let output = '';
    let last = performance.now();
    child.stdout.setEncoding('utf8').on('data', (text: string) => {
      const seconds = (performance.now() - last) / 1000;
      last = performance.now();
      output += text;
      this.#add(Math.round(seconds / stepSeconds) * stepSeconds, this.#withExampleIds(text));
    });
    const [status] = (await once(child, 'close')) as [number | null];
    if (status !== 0) throw new Error(`longhaul ${words.join(' ')} ended with ${status}: ${output}`);
    this.#now += pauseSeconds;
    return output;
  }

  #add(seconds: number, text: string): void {
    this.#now += seconds;
    const at = Number(this.#now.toFixed(2));
    const previous = this.events.at(-1);
    if (previous?.at === at) previous.text += text;
    else this.events.push({ at, text });
  }

  #withExampleIds(text: string): string {
    return text.replaceAll(/[\da-f]{8}(?:-[\da-f]{4}){3}-[\da-f]{12}/g, (id) => {
      const example = this.#ids.get(id) ?? exampleIds[this.#ids.size] ?? id;
      this.#ids.set(id, example);
      return example;
    });
  }
}
