/** The name of a step as the command line writes it: NAME, or NAME#2 for its third run. */
import { ToolError } from './errors.ts';

export interface StepName {
  name: string;
  /** Counts the steps of this name in the turn, from 0. */
  occurrence: number;
}

/** @throws {ToolError} if the text has no name */
export function parseStep(text: string): StepName {
  const [, name = '', occurrence = '0'] = /^(.+?)(?:#(\d{1,6}))?$/s.exec(text) ?? [];
  if (name === '') throw new ToolError('step must be the name of a step, such as model or model#2.');
  return { name, occurrence: Number(occurrence) };
}
