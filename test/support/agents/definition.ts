/** Agent definitions for tests: the smallest valid one, and the problems of invalid ones. */
import assert from 'node:assert/strict';
import type { JsonObject } from '#shared/domain/message.ts';
import { DefinitionError } from '#shared/agent/definition.ts';
import { parseAgentDefinition } from '#shared/agent/load-definition.ts';
import type { Cleanup } from '../cleanup.ts';
import { writeTempFile } from '../temp-dir.ts';

export const minimalDefinition: JsonObject = {
  name: 'Test',
  description: 'Tests.',
  version: '1',
  skills: [{ id: 'a', name: 'A', description: 'Does a.', tags: [] }],
  instruction: 'Be brief.',
};

/** Writes a definition for `AGENT_FILE`: the smallest valid one with these settings. @returns the path */
export function writeAgentFile(t: Cleanup, settings: JsonObject): string {
  // JSON is YAML too.
  return writeTempFile(t, 'agent.yaml', JSON.stringify({ ...minimalDefinition, ...settings }));
}

/** Parses a definition, and returns the problems for which it is refused. */
export function findProblems(text: string): readonly string[] {
  try {
    parseAgentDefinition(text, 'agent.yaml');
  } catch (error) {
    assert.ok(error instanceof DefinitionError, String(error));
    return error.problems;
  }
  return [];
}
