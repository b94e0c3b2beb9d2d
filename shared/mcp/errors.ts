/** The failures of tools. */

/** A failure that the model can read and correct: what was wrong, then what is accepted. */
export class ToolError extends Error {
  override readonly name: string = 'ToolError';
}

/** A route has refused a request. `status`: that of HTTP. */
export class RouteError extends ToolError {
  override readonly name = 'RouteError';
  readonly status: number;
  constructor(status: number, message: string) {
    super(message);
    this.status = status;
  }
}
