/** The output of another agent's task in ours: each chunk once, even if the worker dies. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { Mirror } from '#services/worker/turn/relay/mirror.ts';
import { openArtifactStream } from '#services/worker/turn/output/artifact-stream.ts';
import type { RemoteEvent, RemoteTask } from '#services/worker/agent/remote/agent.ts';
import type { NewStep } from '#shared/db/turns/write.ts';
import { foldArtifacts, type ArtifactUpdate } from '#shared/domain/events.ts';
import { textOf, type Artifact, type Part } from '#shared/domain/message.ts';
import type { ShownOutput } from '#shared/domain/wait.ts';

class Crash extends Error {}

/** The content of the database. */
class Stored {
  readonly updates: ArtifactUpdate[] = [];
  readonly statuses: string[] = [];
  shown: ShownOutput = { artifacts: {} };
  writes = 0;

  get artifacts(): Artifact[] {
    return foldArtifacts(this.updates);
  }

  /** The text of all chunks of an artifact, so that a text that is stored twice appears twice. */
  getChunks(id: string): string {
    const own = this.updates.filter(({ artifact }) => artifact.artifactId === id);
    return own.map(({ artifact }) => textOf(artifact.parts)).join('');
  }

  /** @param crashAfter the number of writes after which the worker dies */
  open(crashAfter = Number.POSITIVE_INFINITY): Mirror {
    const last = this.writes + crashAfter;
    const write = (change: () => void, mark: NewStep | undefined): void => {
      if (this.writes >= last) throw new Crash();
      this.writes += 1;
      change();
      // The database keeps the record as JSON.
      if (mark?.wait?.wait.kind === 'agent')
        this.shown = JSON.parse(JSON.stringify(mark.wait.wait.shown)) as ShownOutput;
    };
    return new Mirror(this.shown, {
      readArtifact: async (id) => this.artifacts.find(({ artifactId }) => artifactId === id)?.parts,
      openArtifact: (head, stored) =>
        openArtifactStream(
          {
            taskId: 't',
            contextId: 'c',
            files: { fit: async (_output, parts) => [...parts], store: undefined },
            budget: { spend: async (_id, spend) => void (await spend(1_000_000)) },
            write: async ({ payload }, mark) =>
              write(() => {
                const { artifactUpdate } = JSON.parse(payload) as { artifactUpdate: ArtifactUpdate };
                this.updates.push(artifactUpdate);
              }, mark),
          },
          head,
          stored,
        ),
      showProgress: async (parts, mark) => write(() => this.statuses.push(textOf(parts)), mark),
      toMark: (shown) => ({
        name: 'call:upstream',
        occurrence: 0,
        position: 0,
        inputHash: null,
        output: null,
        wait: { wait: { kind: 'agent', agent: 'upstream', shown }, dueInSeconds: 1, token: 'x' },
      }),
    });
  }
}

const createTask = (artifacts: Artifact[], message: Part[] = []): RemoteTask => ({
  id: 'r',
  contextId: 'rc',
  state: 'TASK_STATE_WORKING',
  message,
  extensions: [],
  artifacts,
});

const createArtifact = (text: string, more: Partial<Artifact> = {}): Artifact => ({
  artifactId: 'a',
  parts: [{ text }],
  ...more,
});

const chunk = (text: string, more: Partial<Artifact> = {}, lastChunk = false): RemoteEvent => ({
  artifact: createArtifact(text, more),
  append: true,
  lastChunk,
});

describe('the mirror of a task', () => {
  test('stores each chunk once, after whichever write the worker dies', async () => {
    const events: RemoteEvent[] = [
      { task: createTask([createArtifact('one ')]) },
      chunk('two '),
      chunk('data', { artifactId: 'b', parts: [{ data: { n: 1 } }] }),
      chunk('three '),
      { status: { state: 'TASK_STATE_WORKING', message: [{ text: 'thinking' }], extensions: [] } },
      chunk('fi', { artifactId: 'b' }),
      chunk('four', {}, true),
      chunk('ve', { artifactId: 'b' }, true),
    ];
    const final = createTask(
      [
        createArtifact('', { parts: [{ text: 'one ' }, { text: 'two three ' }, { text: 'four' }] }),
        createArtifact('', { artifactId: 'b', parts: [{ data: { n: 1 } }, { text: 'five' }] }),
      ],
      [{ text: 'thinking' }],
    );
    for (let crashAfter = 0; crashAfter < 12; crashAfter += 1) {
      const stored = new Stored();
      const first = stored.open(crashAfter);
      const follow = async (): Promise<void> => {
        for (const event of events) await first.add(event);
        await first.finish(final);
      };
      await follow().catch((error: unknown) => assert.ok(error instanceof Crash, String(error)));
      // Another run finds the whole task.
      const second = stored.open();
      await second.show(final);
      await second.finish({ ...final, state: 'TASK_STATE_COMPLETED' });
      const shown = stored.artifacts.map(({ artifactId, parts }) => [artifactId, parts]);
      assert.deepEqual(
        shown,
        [
          ['a', [{ text: 'one two three four' }]],
          ['b', [{ data: { n: 1 } }, { text: 'five' }]],
        ],
        `after ${crashAfter} writes`,
      );
      const chunks = [stored.getChunks('a'), stored.getChunks('b')];
      assert.deepEqual(chunks, ['one two three four', 'five'], `after ${crashAfter} writes`);
      assert.deepEqual(stored.statuses, ['thinking'], `after ${crashAfter} writes`);
      const ends = stored.updates
        .filter(({ lastChunk }) => lastChunk)
        .map(({ artifact }) => artifact.artifactId);
      assert.deepEqual(ends.toSorted(), ['a', 'b'], `after ${crashAfter} writes`);
    }
  });

  test('appends to content that grows, and replaces content that changes', async () => {
    const stored = new Stored();
    const mirror = stored.open();
    for (const text of ['he', 'hello', 'hello world']) await mirror.show(createTask([createArtifact(text)]));
    assert.deepEqual(
      stored.updates.map(({ artifact, append }) => [textOf(artifact.parts), append]),
      [
        ['he', false],
        ['llo', true],
        [' world', true],
      ],
    );
    assert.equal(await mirror.show(createTask([createArtifact('hello world')])), false);
    await stored.open().show(createTask([createArtifact('bye')]));
    assert.equal(textOf(stored.artifacts[0]!.parts), 'bye');
    assert.equal(stored.updates.at(-1)!.append, false);
  });

  test('shows a name that changes, with the last chunk', async () => {
    const stored = new Stored();
    const mirror = stored.open();
    await mirror.show(createTask([createArtifact('x')]));
    await mirror.finish(createTask([createArtifact('x', { name: 'Late', metadata: { sources: 2 } })]));
    assert.deepEqual(stored.artifacts, [
      { artifactId: 'a', name: 'Late', metadata: { sources: 2 }, parts: [{ text: 'x' }] },
    ]);
    const before = stored.updates.length;
    await stored.open().finish(createTask([createArtifact('x', { name: 'Late', metadata: { sources: 2 } })]));
    assert.equal(stored.updates.length, before);
  });

  test('gives the artifacts of a lost task to its successor', async () => {
    const stored = new Stored();
    const mirror = stored.open();
    await mirror.show(createTask([createArtifact('hal'), createArtifact('more', { artifactId: 'b' })]));
    await mirror.lose('lost');
    await stored.open().finish(createTask([createArtifact('half', { artifactId: 'random' })]));
    assert.deepEqual(
      stored.artifacts.map(({ artifactId, parts }) => [artifactId, textOf(parts)]),
      [
        ['a', 'half'],
        ['b', ''],
      ],
    );
    assert.deepEqual(stored.statuses, ['lost']);
  });

  test('refuses ids that cannot be stored, and too many artifacts', async () => {
    const mirror = new Stored().open();
    const named = (artifactId: string) => createTask([createArtifact('x', { artifactId })]);
    await assert.rejects(mirror.show(named('a\0b')), { name: 'FatalError', message: /id is not valid/ });
    await mirror.show(named('__proto__'));
    const many = Array.from({ length: 300 }, (_, index) => createArtifact('x', { artifactId: `${index}` }));
    await assert.rejects(mirror.show(createTask(many)), { name: 'FatalError', message: /more than 256/ });
  });

  test('bounds what a stream brings, in whichever events', async () => {
    const large = [{ text: 'x'.repeat(4 * 1024 * 1024) }];
    const events: RemoteEvent[] = [
      { status: { state: 'TASK_STATE_WORKING', message: large, extensions: [] } },
      { task: createTask([], large) },
    ];
    for (const event of events) {
      const mirror = new Stored().open();
      const add = async (): Promise<void> => {
        for (let index = 0; index < 5; index += 1) await mirror.add(event);
      };
      await assert.rejects(add(), { name: 'FatalError', message: /streamed more than/ });
    }
  });

  test('shows one status message a second, in whichever events', async () => {
    const stored = new Stored();
    const mirror = stored.open();
    for (const text of ['one', 'two', 'three']) {
      const message = [{ text }];
      await mirror.add({ task: createTask([], message) });
      await mirror.add({ status: { state: 'TASK_STATE_WORKING', message, extensions: [] } });
    }
    assert.deepEqual(stored.statuses, ['one']);
  });
});
