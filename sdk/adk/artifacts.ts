/** The artifacts of ADK on those of the task: a name is an artifact, whose versions later turns of the context can load. */
import type {
  ArtifactVersion,
  BaseArtifactService,
  DeleteArtifactRequest,
  ListVersionsRequest,
  LoadArtifactRequest,
  SaveArtifactRequest,
} from '@google/adk';
import type { Turn } from '#services/worker/agent/agent.ts';
import type { Json, JsonObject } from '#shared/domain/message.ts';
import type { ArtifactEntry, SavedArtifact } from './entries.ts';
import { toPart, type GeminiPart } from './parts.ts';
import { getScope, nextStep } from './scope.ts';

export class TurnArtifacts implements BaseArtifactService {
  readonly #turn: Turn;
  readonly #versions = new Map<string, SavedArtifact[]>();
  /** The changes of this turn. */
  readonly entries: ArtifactEntry[] = [];

  constructor(turn: Turn) {
    this.#turn = turn;
  }

  /** Follows what this turn has done, perhaps in an earlier run. */
  restore(entry: ArtifactEntry): void {
    this.#follow(entry);
    this.entries.push(entry);
  }

  /** Follows what an earlier turn has done. */
  restoreEarlier(entries: readonly ArtifactEntry[]): void {
    for (const entry of entries) this.#follow(entry);
  }

  async saveArtifact({ filename, artifact, customMetadata }: SaveArtifactRequest): Promise<number> {
    const version = this.#versions.get(filename)?.length ?? 0;
    const save = async (): Promise<Json> => {
      const part = await this.#turn.storeFile(toPart(artifact));
      await this.#turn.artifact({ artifactId: filename, name: filename, parts: [part] });
      const saved: SavedArtifact = {
        filename,
        version,
        kind: artifact.inlineData !== undefined ? 'data' : artifact.fileData !== undefined ? 'file' : 'text',
        part,
        ...(customMetadata !== undefined && { customMetadata: customMetadata as JsonObject }),
      };
      return saved;
    };
    // A call of a tool is a step itself.
    const scope = getScope();
    const saved = (
      scope === undefined || scope.call !== undefined
        ? await save()
        : await this.#turn.step('artifact', save, nextStep(scope, 'artifact', filename, scope.path))
    ) as SavedArtifact;
    this.restore(saved);
    scope?.saved?.push(saved);
    return version;
  }

  async loadArtifact({ filename, version }: LoadArtifactRequest): Promise<GeminiPart | undefined> {
    const saved = this.#find(filename, version);
    if (saved === undefined) return undefined;
    const { kind, part } = saved;
    const { text, raw, url = '', mediaType, filename: displayName } = part;
    const head = {
      ...(mediaType !== undefined && { mimeType: mediaType }),
      ...(displayName && { displayName }),
    };
    if (kind === 'file') return { fileData: { fileUri: url, ...head } };
    if (text !== undefined) return { text };
    if (raw !== undefined) return { inlineData: { data: raw, ...head } };
    const file = await this.#turn.readFile(url);
    if (file === undefined) return undefined;
    return kind === 'text'
      ? { text: file.content.toString() }
      : { inlineData: { data: file.content.toString('base64'), ...head } };
  }

  async listArtifactKeys(): Promise<string[]> {
    return [...this.#versions.keys()].toSorted();
  }

  async deleteArtifact({ filename }: DeleteArtifactRequest): Promise<void> {
    this.restore({ deleted: filename });
  }

  async listVersions({ filename }: ListVersionsRequest): Promise<number[]> {
    return (this.#versions.get(filename) ?? []).map(({ version }) => version);
  }

  async listArtifactVersions({ filename }: ListVersionsRequest): Promise<ArtifactVersion[]> {
    return (this.#versions.get(filename) ?? []).map(toVersion);
  }

  async getArtifactVersion({ filename, version }: LoadArtifactRequest): Promise<ArtifactVersion | undefined> {
    const saved = this.#find(filename, version);
    return saved && toVersion(saved);
  }

  #find(filename: string, version: number | undefined): SavedArtifact | undefined {
    return this.#versions.get(filename)?.at(version ?? -1);
  }

  #follow(entry: ArtifactEntry): void {
    if ('deleted' in entry) {
      this.#versions.delete(entry.deleted);
      return;
    }
    const versions = this.#versions.get(entry.filename) ?? [];
    versions[entry.version] = entry;
    this.#versions.set(entry.filename, versions);
  }
}

function toVersion({ version, part, customMetadata }: SavedArtifact): ArtifactVersion {
  const { mediaType, url } = part;
  return {
    version,
    ...(mediaType !== undefined && { mimeType: mediaType }),
    ...(url !== undefined && { canonicalUri: url }),
    ...(customMetadata !== undefined && { customMetadata }),
  };
}
