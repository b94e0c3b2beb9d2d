/** The ids that the artifacts of another agent's task have in ours. They are stored with what is shown of them. */
import { FatalError } from '#shared/domain/errors.ts';
import type { ShownArtifact, ShownOutput } from '#shared/domain/wait.ts';
import { isId } from '../../agent/remote/ids.ts';

/** The most artifacts of one task of another agent. */
const maxArtifacts = 256;

export class ShownArtifacts {
  readonly #suffix: string;
  readonly #artifacts: Map<string, ShownArtifact>;
  readonly #ids: Map<string, string>;
  #lost: string[];

  constructor({ artifacts, ids = {}, suffix = '', lost = [] }: ShownOutput) {
    this.#suffix = suffix;
    this.#artifacts = new Map(Object.entries(artifacts));
    this.#ids = new Map(Object.entries(ids));
    this.#lost = lost;
  }

  toJson(): Pick<ShownOutput, 'artifacts' | 'ids' | 'suffix' | 'lost'> {
    return {
      artifacts: Object.fromEntries(this.#artifacts),
      ...(this.#ids.size > 0 && { ids: Object.fromEntries(this.#ids) }),
      ...(this.#suffix !== '' && { suffix: this.#suffix }),
      ...(this.#lost.length > 0 && { lost: this.#lost }),
    };
  }

  get(id: string): ShownArtifact | undefined {
    return this.#artifacts.get(id);
  }

  set(id: string, shown: ShownArtifact): void {
    this.#artifacts.set(id, shown);
  }

  /** The artifacts of a lost task that its successor has not written again. */
  get lost(): readonly string[] {
    return this.#lost;
  }

  /** Gives all ids to the artifacts of another task, in their order. */
  lose(): void {
    this.#lost = [...this.#artifacts.keys()];
    this.#ids.clear();
  }

  /** @throws {FatalError} if the id cannot be stored, or there are too many artifacts */
  toOwnId(remoteId: string): string {
    const known = this.#ids.get(remoteId);
    if (known !== undefined) return known;
    if (!isId(remoteId)) {
      throw new FatalError('The agent behind this one has an artifact whose id is not valid.');
    }
    const wanted = remoteId + this.#suffix;
    const id =
      this.#lost.includes(wanted) || this.#artifacts.has(wanted) ? wanted : (this.#lost[0] ?? wanted);
    this.#lost = this.#lost.filter((lost) => lost !== id);
    if (id !== wanted) this.#ids.set(remoteId, id);
    if (!this.#artifacts.has(id) && this.#artifacts.size >= maxArtifacts) {
      throw new FatalError(`The agent behind this one has more than ${maxArtifacts} artifacts in one task.`);
    }
    return id;
  }
}
