/** What the model may call. The built-in tools, and whatever else is given to the agent, have this form. */
import type { FunctionCall, FunctionDeclaration } from '@google/genai';
import type { Json, JsonObject } from '#shared/domain/message.ts';
import type { StepContext } from '../../agent.ts';

export interface Tool {
  readonly declaration: FunctionDeclaration & { name: string };
  /** True: calling it twice does harm, so that a fenced record is written before it starts (invariant 3). */
  readonly sideEffects?: boolean;
  /** True: it is called only when the user has approved this very call. */
  readonly confirm?: boolean;
  /**
   * What it returns goes to the model; so does the message of an error, unless it is one of shared/domain/errors.
   * It has to end soon after the signal aborts.
   */
  call(args: JsonObject, context: StepContext): Promise<Json | OutputWithFiles>;
}

/** A file that a tool returned. */
export type ToolFile = { mediaType: string; /** Base64. */ data: string; filename?: string };

/** What a tool returned, where files belong to it: the model sees them, and the user gets them. */
export class OutputWithFiles {
  readonly output: Json;
  readonly files: readonly ToolFile[];
  constructor(output: Json, files: readonly ToolFile[]) {
    this.output = output;
    this.files = files;
  }
}

export type Call = FunctionCall & { name: string };

/** The outcome of a call. */
export type ToolReply = { response: JsonObject; files?: ToolFile[] };
