/**
 * What the offline model decides to do. Each skill looks at the request and either answers or passes; the first that
 * answers wins, so the order is the order of precedence. A test may put another responder in its place.
 */
import type { Reply } from './reply.ts';
import { answerReceived, answerToCall, askBack } from './skills/ask-back.ts';
import { calculate } from './skills/calculate.ts';
import { callTools } from './skills/call-tools.ts';
import { echo } from './skills/echo.ts';
import { extract } from './skills/extract.ts';
import { fillSchema } from './skills/fill-schema.ts';
import { summarise } from './skills/summarise.ts';
import { reportToolResults } from './skills/tool-results.ts';
import type { GenerateRequest } from './wire.ts';

export type Responder = (request: GenerateRequest) => Reply | Promise<Reply>;

/** Undefined: not for this skill. */
export type Skill = (request: GenerateRequest) => Reply | undefined;

const skills: readonly Skill[] = [
  fillSchema,
  answerToCall,
  reportToolResults,
  askBack,
  callTools,
  calculate,
  summarise,
  extract,
  answerReceived,
];

export const think: Responder = (request) => {
  for (const skill of skills) {
    const reply = skill(request);
    if (reply !== undefined) return reply;
  }
  return echo(request);
};
