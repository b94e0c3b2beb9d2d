/**
 * Prints a task as it changes: text of artifacts on stdout as it arrives, states and progress on a terminal's stderr.
 * Text that was printed is not printed again when a stream resumes with the whole task.
 */
import type { Artifact, Part } from '#shared/domain/message.ts';
import type { StreamEventJson, TaskJson } from '../agent/json.ts';
import { print, printProgress, toTerminalText } from './terminal.ts';

export class TaskPrinter {
  /** By artifact: the text as the agent has it now. */
  readonly #texts = new Map<string, string>();
  /** The text that was printed of the last artifact. */
  readonly #printed = new Map<string, string>();
  #open: string | undefined;
  #state: string | undefined;
  /** The line about the state that was printed last. */
  #said: string | undefined;
  #announced = false;

  /** Whether anything was printed on stdout. */
  get hasPrinted(): boolean {
    return this.#printed.size > 0;
  }

  event({ task, message, statusUpdate, artifactUpdate }: StreamEventJson): void {
    const id = task?.id ?? statusUpdate?.taskId ?? artifactUpdate?.taskId;
    if (id !== undefined && !this.#announced) {
      this.#announced = true;
      printProgress(`task ${id}`);
    }
    if (task !== undefined) this.#task(task);
    if (statusUpdate !== undefined) this.#status(statusUpdate.status);
    if (artifactUpdate !== undefined) this.#artifact(artifactUpdate.artifact, artifactUpdate.append === true);
    if (message !== undefined) this.#artifact({ ...message, artifactId: 'message' }, false);
  }

  /** Ends the line of the last artifact. */
  end(): void {
    if (this.#open !== undefined && !(this.#printed.get(this.#open) ?? '\n').endsWith('\n')) print('');
    this.#open = undefined;
  }

  #task({ status, artifacts = [] }: TaskJson): void {
    for (const artifact of artifacts) this.#artifact(artifact, false);
    this.#status(status);
  }

  #status(status: TaskJson['status']): void {
    const state = status?.state;
    if (state === undefined) return;
    const text = partsToText(status?.message?.parts ?? []);
    const said =
      text === '' ? stateName(state) : `${stateName(state)}: ${toTerminalText(text, process.stderr)}`;
    if (said === this.#said || (state === this.#state && text === '')) return;
    [this.#state, this.#said] = [state, said];
    this.#breakLine();
    printProgress(said);
  }

  #artifact({ artifactId, parts }: Pick<Artifact, 'artifactId' | 'parts'>, append: boolean): void {
    const content = partsToText(parts);
    const text = append ? (this.#texts.get(artifactId) ?? '') + content : content;
    this.#texts.set(artifactId, text);
    const printed = this.#printed.get(artifactId) ?? '';
    if (text === printed) return;
    if (this.#open !== artifactId) this.end();
    // An agent that starts an artifact again has lost what it had written.
    const rest = text.startsWith(printed) ? text.slice(printed.length) : text;
    if (rest === text && printed !== '') {
      this.end();
      printProgress('the agent starts this text again');
    }
    process.stdout.write(toTerminalText(rest));
    this.#open = artifactId;
    this.#printed.set(artifactId, text);
  }

  /** Keeps progress out of a line of text, where both go to one terminal. */
  #breakLine(): void {
    if (process.stdout.isTTY && process.stderr.isTTY) this.end();
  }
}

/** Text as it is; data as JSON; files by name, type and URL. */
export function partsToText(parts: readonly Part[]): string {
  const lines: string[] = [];
  let text = '';
  for (const part of parts) {
    if (part.text !== undefined) {
      text += part.text;
      continue;
    }
    if (text !== '') lines.push(text);
    text = '';
    lines.push(part.data === undefined ? fileToText(part) : JSON.stringify(part.data));
  }
  if (text !== '') lines.push(text);
  return lines.join('\n');
}

function fileToText({ filename, mediaType, url, raw }: Part): string {
  const size = raw === undefined ? undefined : `${Buffer.byteLength(raw, 'base64')} bytes`;
  return `[${[filename || 'file', mediaType, url ?? size].filter(Boolean).join(', ')}]`;
}

/** `TASK_STATE_INPUT_REQUIRED` as "input required". */
export function stateName(state: string): string {
  return state.replace('TASK_STATE_', '').toLowerCase().replaceAll('_', ' ');
}
