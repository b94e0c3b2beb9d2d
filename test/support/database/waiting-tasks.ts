/** Tasks that wait for a callback, for children or for another agent. */
import { waitsExtension } from '#shared/domain/wait.ts';
import type { Stack, TaskJson } from '../stack.ts';

/** Whether the task says what it waits for. Its turn is then suspended. */
export const isWaiting = ({ status }: TaskJson): boolean =>
  status.message?.metadata?.[waitsExtension] !== undefined;

/** Submits a task that waits for a callback, and returns the URL once its turn is suspended. */
export async function submitCall(stack: Stack, script: string): Promise<{ task: TaskJson; url: string }> {
  const { id } = await stack.submit(script);
  const task = await stack.until(id, isWaiting);
  return { task, url: task.artifacts!.find(({ artifactId }) => artifactId === 'url')!.parts[0]!.text! };
}

/** Posts the answer of a callback as JSON. */
export const postAnswer = (url: string, body: unknown): Promise<Response> =>
  fetch(url, { method: 'POST', body: JSON.stringify(body), headers: { 'content-type': 'application/json' } });

/** Returns the data of an artifact of the scripted agent: the result of a wait. */
export const getData = (task: TaskJson, artifactId: string): unknown =>
  (task.artifacts!.find((artifact) => artifact.artifactId === artifactId)!.parts[0] as { data: unknown })
    .data;

export interface ChildRow {
  id: string;
  state: string;
  metadata: Record<string, unknown>;
}

export async function readChildren(stack: Stack, taskId: string): Promise<ChildRow[]> {
  const { rows } = await stack.pool.query<ChildRow>(
    `select t.id, t.state, t.metadata from tasks t join child_groups cg on cg.id = t.child_group where cg.parent_id = $1`,
    [taskId],
  );
  return rows;
}
