/** Runs once before all test files of a run (`node --test --test-global-setup`): one PostgreSQL server for all of them. */
import { portVariable, serverVariable, startTestServer, type TestServer } from './database/test-server.ts';

let server: TestServer | undefined;

export async function globalSetup(): Promise<void> {
  server = await startTestServer();
  // The test processes inherit them.
  process.env[serverVariable] = server.templateUrl;
  process.env[portVariable] = String(server.port);
}

export async function globalTeardown(): Promise<void> {
  await server?.stop();
}
