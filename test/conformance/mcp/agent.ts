/**
 * The agent that the conformance suite of MCP expects (@modelcontextprotocol/conformance): each of its tools is a skill. The
 * metadata of the message names the skill.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Agent, Turn, TurnOutcome } from 'longhaul/agent';
import { approvalExtension, createApprovalPart, createApprovalRequest } from '#shared/agent/approval.ts';
import type { JsonObject, Part } from '#shared/domain/message.ts';

const completed: TurnOutcome = { state: 'TASK_STATE_COMPLETED' };
const pixel =
  'iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==';
const image: Part = { raw: pixel, mediaType: 'image/png', filename: 'pixel.png' };
const sound: Part = {
  raw: 'UklGRiYAAABXQVZFZm10IBAAAAABAAEAQB8AAAB9AAACABAAZGF0YQIAAAA=',
  mediaType: 'audio/wav',
  filename: 'silence.wav',
};
const file: Part = {
  raw: Buffer.from('This is an embedded resource content.').toString('base64'),
  mediaType: 'application/octet-stream',
  filename: 'embedded.bin',
};

function answer(...parts: Part[]): (turn: Turn) => Promise<TurnOutcome> {
  return async (turn) => {
    await turn.artifact({ artifactId: 'answer', parts });
    return completed;
  };
}

const failed = async (): Promise<TurnOutcome> => ({
  state: 'TASK_STATE_FAILED',
  message: 'This tool intentionally returns an error for testing',
});

/** Asks questions, one in each turn, and then completes. */
function ask(...questions: string[]): (turn: Turn) => Promise<TurnOutcome> {
  return async (turn) => {
    const question = questions[turn.number - 1];
    if (question !== undefined) return { state: 'TASK_STATE_INPUT_REQUIRED', message: question };
    return answer({ text: 'state-ok' })(turn);
  };
}

/** Asks for two approvals, until both are decided. */
async function approveBoth(turn: Turn): Promise<TurnOutcome> {
  const { entries } = await turn.readHistory();
  const said = [...entries.map(({ parts }) => parts), turn.message.parts].flat();
  const decided = new Set(said.flatMap(({ data }) => readDecided(data)));
  const open = ['one', 'two'].filter((id) => !decided.has(id));
  if (open.length === 0) return answer({ text: 'Both decided.' })(turn);
  const requests = open.map((id) => createApprovalRequest(id, 'multi_input', { id }));
  return {
    state: 'TASK_STATE_AUTH_REQUIRED',
    message: [{ text: 'Two calls need approval.' }, createApprovalPart(requests)],
  };
}

function readDecided(data: unknown): string[] {
  const content = (data as JsonObject | undefined)?.[approvalExtension] as
    | { decisions?: { id: string }[] }
    | undefined;
  return (content?.decisions ?? []).map(({ id }) => id);
}

const skills: Record<string, (turn: Turn) => Promise<TurnOutcome>> = {
  test_simple_text: answer({ text: 'This is a simple text response for testing.' }),
  test_image_content: answer(image),
  test_audio_content: answer(sound),
  test_embedded_resource: answer(file),
  test_multiple_content_types: answer({ text: 'Multiple content types test:' }, image, file),
  test_error_handling: failed,
  test_tool_with_progress: async (turn) => {
    for (const percent of [0, 50, 100]) {
      await turn.progress(`${percent} %`);
      await sleep(50, undefined, { signal: turn.signal });
    }
    return answer({ text: 'Done.' })(turn);
  },
  greet: answer({ text: 'Hello!' }),
  slow_compute: async (turn) => {
    const data = turn.message.parts.find((part) => part.data !== undefined)?.data as
      | { seconds?: number }
      | undefined;
    await sleep(1000 * (data?.seconds ?? 0), undefined, { signal: turn.signal });
    return answer({ text: 'Computed.' })(turn);
  },
  failing_job: failed,
  confirm_delete: ask('Are you sure?'),
  multi_input: approveBoth,
  test_input_required_result_elicitation: ask('What is your name?'),
  test_input_required_result_request_state: ask('Please confirm.'),
  test_input_required_result_multi_round: ask('Step 1: your name?', 'Step 2: your favorite color?'),
  test_input_required_result_tampered_state: ask('Please confirm.'),
  test_streaming_elicitation: ask('What is your name?'),
  test_logging_tool: async (turn) => {
    await turn.progress('Working.');
    return answer({ text: 'Done.' })(turn);
  },
};

const agent: Agent = {
  async run(turn) {
    const { skill } = (turn.message.metadata?.['https://longhaul.dev/ext/mcp/v1'] ?? {}) as {
      skill?: string;
    };
    const first = skill ?? (await readFirstSkill(turn));
    return (skills[first ?? ''] ?? answer({ text: 'Unknown skill.' }))(turn);
  },
};
export default agent;

/** A further message names no skill: the line of the first one does. */
async function readFirstSkill(turn: Turn): Promise<string | undefined> {
  const { entries } = await turn.readHistory();
  const [line] = entries.flatMap(({ parts }) => parts.flatMap(({ text }) => text ?? []));
  return line === undefined ? undefined : /"(\w+)"/.exec(line)?.[1];
}
