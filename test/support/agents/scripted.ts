/**
 * An agent for scenario tests. The text of a message is its script, with one command per line:
 *
 *   step NAME [MS]     runs a durable step that posts its idempotency key to TEST_LOG_URL and lasts MS milliseconds
 *   wait MS            waits outside of any step
 *   deaf MS            waits and ignores its signal
 *   stream TEXT        streams TEXT word by word into the artifact "answer", one word every 20 ms
 *   say TEXT           writes the artifact "said"
 *   data JSON          writes the artifact "data", and completes with the same as the message
 *   artifacts N BYTES  writes N text artifacts of this size
 *   file BYTES NAME    writes a file of type PNG as the artifacts "file" (whole) and "streamed", and as the message
 *   size URL           completes with the size of a stored file
 *   sleep NAME SECONDS waits without a worker
 *   call NAME SECONDS [STEP MS]
 *                      reports the URL of a callback, runs a step, and writes the answer as the artifact NAME
 *   use COST           runs a step that used a model at this cost
 *   agent NAME SCRIPT  calls another agent, and writes what it answers as the artifact NAME
 *   spawn NAME COUNT SCRIPT
 *                      starts children with this script, in which ";" separates commands
 *   join NAME NEED SECONDS
 *                      waits for the children that were started last, and writes their states as the artifact NAME
 *   progress TEXT | ask TEXT | auth TEXT | elsewhere TEXT | reject TEXT | fail TEXT | direct TEXT
 *   output KIND CODE   hands over the value of a JavaScript expression: as an artifact, a part of the artifact "answer",
 *                      progress, the result of a step, or the end of the turn; ignores errors of all but the last
 *   throw TEXT | die   fails the turn, or kills the worker's process
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { runInThisContext } from 'node:vm';
import type { Agent, ChildTasks, Turn, TurnOutcome } from 'longhaul/agent';
import { textOf, type Json } from '#shared/domain/message.ts';

const logUrl = process.env['TEST_LOG_URL'];
const spawned = new WeakMap<Turn, ChildTasks>();

const agent: Agent = {
  async run(turn) {
    for (const line of textOf(turn.message.parts).split('\n')) {
      const [command = '', ...words] = line.trim().split(' ');
      const outcome = await runCommand(turn, command, words);
      if (outcome !== undefined) return outcome;
    }
    return { state: 'TASK_STATE_COMPLETED' };
  },
};
export default agent;

async function runCommand(
  turn: Turn,
  command: string,
  words: readonly string[],
): Promise<TurnOutcome | undefined> {
  const text = words.join(' ');
  switch (command) {
    case 'step': {
      const [name = 'step', ms = '0'] = words;
      await turn.step(name, async ({ idempotencyKey, signal }) => {
        if (logUrl !== undefined) await fetch(logUrl, { method: 'POST', body: idempotencyKey });
        await sleep(Number(ms), undefined, { signal });
        return name;
      });
      return undefined;
    }
    case 'wait':
      await sleep(Number(text), undefined, { signal: turn.signal });
      return undefined;
    case 'sleep': {
      const [name = 'sleep', seconds = '0'] = words;
      await turn.sleep(name, Number(seconds));
      return undefined;
    }
    case 'call': {
      const [name = 'call', timeoutSeconds = '60', step, ms] = words;
      const schema = name === 'number' ? { type: 'number' } : undefined;
      const callback = await turn.callback(name, {
        timeoutSeconds: Number(timeoutSeconds),
        ...(schema && { schema }),
      });
      await turn.step('report', () => turn.artifact({ artifactId: 'url', parts: [{ text: callback.url }] }));
      const [result] = await Promise.all([
        callback.result,
        step === undefined ? undefined : runCommand(turn, 'step', [step, ms ?? '0']),
      ]);
      await turn.artifact({ artifactId: name, parts: [{ data: result }] });
      return undefined;
    }
    case 'agent': {
      const [name = '', ...message] = words;
      const { taskId, ...result } = await turn.call(name, message.join(' ').replaceAll(';', '\n'));
      const { status, artifacts, message: parts } = result;
      const content = artifacts.length > 0 ? artifacts.flatMap((artifact) => artifact.parts) : [...parts];
      const data = { status, text: textOf(content), ...(taskId !== undefined && { taskId }) };
      await turn.artifact({ artifactId: name, parts: [{ data }] });
      return undefined;
    }
    case 'use': {
      const tokens = { prompt: 1, cached: 0, tool: 0, thoughts: 0, output: 1 };
      await turn.step('use', async () => text, {
        usage: (cost) => ({ model: 'scripted', tokens, cost: Number(cost) }),
      });
      return undefined;
    }
    case 'spawn': {
      const [name = 'spawn', count = '1', ...script] = words;
      const message = script.join(' ').replaceAll(';', '\n');
      spawned.set(turn, await turn.spawn(name, Array<string>(Number(count)).fill(message)));
      return undefined;
    }
    case 'join': {
      const [name = 'join', need = 'all', timeoutSeconds = '60'] = words;
      const { status, children } = await turn.join(name, spawned.get(turn)!, {
        need: need === 'all' || need === 'any' ? need : Number(need),
        timeoutSeconds: Number(timeoutSeconds),
      });
      const states = children.map(({ state }) => state.slice('TASK_STATE_'.length));
      const texts = new Set(children.flatMap(({ artifacts }) => artifacts.map(({ parts }) => textOf(parts))));
      const data = { status, states: states.toSorted(), texts: [...texts] };
      await turn.artifact({ artifactId: name, parts: [{ data }] });
      return undefined;
    }
    case 'deaf':
      await sleep(Number(text));
      return undefined;
    case 'stream': {
      const artifact = turn.openArtifact({ artifactId: 'answer' });
      for (const word of words) {
        artifact.write({ text: `${word} ` });
        await sleep(20, undefined, { signal: turn.signal });
      }
      await artifact.close();
      return undefined;
    }
    case 'say':
      await turn.artifact({ artifactId: 'said', parts: [{ text }] });
      return undefined;
    case 'data': {
      const part = { data: JSON.parse(text) as Json };
      await turn.artifact({ artifactId: 'data', parts: [part] });
      return { state: 'TASK_STATE_COMPLETED', message: [part] };
    }
    case 'artifacts': {
      const [count, bytes] = words;
      for (let n = 0; n < Number(count); n++) {
        await turn.artifact({ artifactId: `artifact-${n}`, parts: [{ text: 'x'.repeat(Number(bytes)) }] });
      }
      return undefined;
    }
    case 'file': {
      const [bytes, ...name] = words;
      const raw = Buffer.alloc(Number(bytes), 'file').toString('base64');
      const part = { raw, mediaType: 'image/png', filename: name.join(' ') };
      await turn.artifact({ artifactId: 'file', parts: [part] });
      const artifact = turn.openArtifact({ artifactId: 'streamed' });
      artifact.write(part);
      await artifact.close();
      return { state: 'TASK_STATE_COMPLETED', message: [part] };
    }
    case 'size': {
      const file = await turn.readFile(text);
      return { state: 'TASK_STATE_COMPLETED', message: String(file?.content.length) };
    }
    case 'progress':
      await turn.progress(text);
      return undefined;
    case 'ask':
      return { state: 'TASK_STATE_INPUT_REQUIRED', message: text };
    case 'auth':
      return { state: 'TASK_STATE_AUTH_REQUIRED', message: text };
    case 'elsewhere':
      return { state: 'TASK_STATE_AUTH_REQUIRED', message: text, outOfBand: true };
    case 'reject':
      return { state: 'TASK_STATE_REJECTED', message: text };
    case 'fail':
      return { state: 'TASK_STATE_FAILED', message: text };
    case 'direct':
      return { direct: text };
    case 'output':
      return output(turn, words);
    case 'throw':
      throw new Error(text);
    case 'die':
      process.kill(process.pid, 'SIGKILL');
      return undefined;
    default:
      return undefined;
  }
}

async function output(turn: Turn, [kind, ...code]: readonly string[]): Promise<TurnOutcome | undefined> {
  const value = runInThisContext(`(${code.join(' ')})`) as never;
  if (kind === 'end') return value;
  try {
    if (kind === 'artifact') await turn.artifact(value);
    else if (kind === 'part') turn.openArtifact({ artifactId: 'answer' }).write(value);
    else if (kind === 'step') await turn.step('odd', () => value);
    else await turn.progress(value);
  } catch (error) {
    if (kind === 'step') throw error;
  }
  return undefined;
}
