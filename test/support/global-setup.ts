/** Runs once per test run (`node --test --test-global-setup`) and starts one PostgreSQL server for all test files. */
import { portVariable, serverVariable, startTestServer, type TestServer } from './database/test-server.ts';

let server: TestServer | undefined;

export async function globalSetup(): Promise<void> {
  server = await startTestServer();
  // The test processes inherit these variables.
  process.env[serverVariable] = server.templateUrl;
  process.env[portVariable] = String(server.port);
}

export async function globalTeardown(): Promise<void> {
  await server?.stop();
}
