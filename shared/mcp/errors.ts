/** The failures of tools. */

/** A failure that the model can read and correct: what was wrong, then what is accepted. */
export class ToolError extends Error {
  override readonly name: string = 'ToolError';
  /** Lines with texts of others, which answers mark as data. */
  readonly quoted: readonly string[];
  constructor(message: string, quoted: readonly string[] = []) {
    super(message);
    this.quoted = quoted;
  }
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
