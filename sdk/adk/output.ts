/**
 * Turns what the agents of a turn say into artifacts of the task: one for each agent, streamed while its model answers. A workflow
 * without an answer of a model hands over the output of its last node.
 */
import type { Event } from '@google/adk';
import type { ArtifactStream, Turn } from '#services/worker/agent/agent.ts';
import type { Part } from '#shared/domain/message.ts';
import { toJson } from './entries.ts';
import { toPart } from './parts.ts';

const separator = '\n\n';

interface Said {
  stream: ArtifactStream;
  /** The answer that streams has text. */
  streamed: boolean;
  text: string;
}

export class TurnOutput {
  readonly #turn: Turn;
  readonly #agents = new Map<string, Said>();
  #lastOutput: { value: unknown; isSaid: boolean } | undefined;

  constructor(turn: Turn) {
    this.#turn = turn;
  }

  /** The text of all agents, in the order in which they started. */
  get text(): string {
    return [...this.#agents.values()].map(({ text }) => text).join(separator);
  }

  write(event: Event): void {
    const { author = '', content, partial = false, output, nodeInfo } = event;
    const isSaid = nodeInfo?.messageAsOutput === true;
    if (output !== undefined) this.#lastOutput = { value: output, isSaid };
    // The content of nodes that are functions is their output.
    if (author === 'user' || content?.role === 'user' || (output !== undefined && !isSaid)) return;
    const parts = (content?.parts ?? []).filter(
      ({ thought, functionCall, functionResponse }) => thought !== true && !functionCall && !functionResponse,
    );
    const text = parts.map(({ text: piece = '' }) => piece).join('');
    const files = parts.filter((part) => part.text === undefined).map(toPart);
    if (partial) {
      if (text !== '') this.#say(author, text);
      return;
    }
    const said = this.#agents.get(author);
    if (said?.streamed === true) said.streamed = false;
    else if (text !== '') this.#say(author, text).streamed = false;
    for (const file of files) this.#open(author).stream.write(file);
  }

  /** Writes the output of a workflow that no agent has said. */
  async finish(name: string): Promise<void> {
    if (this.#lastOutput === undefined || this.#lastOutput.isSaid) return;
    const { value } = this.#lastOutput;
    const part: Part =
      typeof value === 'string' ? { text: value } : { data: toJson(value), mediaType: 'application/json' };
    await this.#turn.artifact({ ...this.#getHead(name), parts: [part] });
  }

  #say(author: string, text: string): Said {
    const said = this.#open(author);
    const start = !said.streamed && said.text !== '' ? separator : '';
    said.stream.write({ text: start + text });
    said.text += start + text;
    said.streamed = true;
    return said;
  }

  #open(author: string): Said {
    const known = this.#agents.get(author);
    if (known !== undefined) return known;
    const said = { stream: this.#turn.openArtifact(this.#getHead(author)), streamed: false, text: '' };
    this.#agents.set(author, said);
    return said;
  }

  #getHead(name: string): { artifactId: string; name: string } {
    const { number } = this.#turn;
    return { artifactId: number === 1 ? name : `${name}-${number}`, name };
  }
}
