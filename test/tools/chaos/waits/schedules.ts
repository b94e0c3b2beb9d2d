/** Schedules of a run: each of their due times must have started one task, or be skipped with a reason. */
interface Firing {
  dueAt: string;
  until?: string;
  count?: number;
  state: string;
  taskId?: string;
}

const names = ['one', 'two', 'three'];
const everySeconds = 10;

export async function callSchedules(
  apiUrl: string,
  method: string,
  path: string,
  body?: object,
): Promise<unknown> {
  for (let attempt = 0; ; attempt++) {
    try {
      const response = await fetch(`${apiUrl}/a2a/v1/schedules/${path}`, {
        method,
        headers: { 'content-type': 'application/json', 'a2a-version': '1.0' },
        ...(body && { body: JSON.stringify(body) }),
      });
      if (!response.ok) throw new Error(`${method} ${path}: ${response.status} ${await response.text()}`);
      return await response.json();
    } catch (error) {
      if (attempt === 20) throw error;
      await new Promise((resolve) => setTimeout(resolve, 500));
    }
  }
}

export async function createSchedules(apiUrl: string): Promise<void> {
  const request = { message: { role: 'ROLE_USER', parts: [{ text: 'say tick' }] } };
  for (const name of names)
    await callSchedules(apiUrl, 'PUT', name, { everySeconds, overlap: 'allow', request });
}

export async function pauseSchedules(apiUrl: string): Promise<void> {
  for (const name of names) await callSchedules(apiUrl, 'POST', `${name}/pause`, {});
}

/** Due times must follow each other at the interval, each with one task of its own. */
export async function checkSchedules(apiUrl: string): Promise<{ problems: string[]; firings: number }> {
  const problems: string[] = [];
  let count = 0;
  for (const name of names) {
    const { firings } = (await callSchedules(apiUrl, 'GET', `${name}/firings?pageSize=100`)) as {
      firings: Firing[];
    };
    const times = firings.flatMap(({ dueAt, count: merged = 1 }) =>
      Array.from({ length: merged }, (_, index) => Date.parse(dueAt) + index * everySeconds * 1000),
    );
    times.sort((a, b) => a - b);
    for (const [index, time] of times.slice(1).entries()) {
      const gap = time - (times[index] ?? 0);
      if (gap !== everySeconds * 1000) problems.push(`schedule ${name}: ${gap} ms between two due times`);
    }
    const tasks = firings.flatMap(({ taskId }) => (taskId === undefined ? [] : [taskId]));
    if (new Set(tasks).size !== tasks.length)
      problems.push(`schedule ${name}: a task belongs to two due times`);
    if (times.length === 0) problems.push(`schedule ${name} was never due`);
    count += times.length;
  }
  return { problems, firings: count };
}
