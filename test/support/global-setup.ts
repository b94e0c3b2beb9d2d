/** Runs once before all test files of a run (`node --test --test-global-setup`): one PostgreSQL server for all of them. */
import { serverVariable } from './postgres.ts';
import { startTestServer, type TestServer } from './test-server.ts';

let server: TestServer | undefined;

export async function globalSetup(): Promise<void> {
  server = await startTestServer();
  process.env[serverVariable] = server.templateUrl; // the test processes inherit it
}

export async function globalTeardown(): Promise<void> {
  await server?.stop();
}
