/**
 * A minimal HTTP/1.1 connection: the load shares its cores with the measured servers, and a general client needs three
 * times the CPU. It supports only the responses of those servers: with a content-length, or without a body.
 */
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';

export interface HttpRequest {
  method: string;
  path: string;
  headers: Record<string, string>;
  body: string | null;
}

export interface HttpResponse {
  status: number;
  text: string;
}

export class Connection {
  readonly #socket: Socket;
  readonly #host: string;
  #received = '';
  #response = Promise.withResolvers<HttpResponse>();

  private constructor(socket: Socket, host: string) {
    this.#socket = socket;
    this.#host = host;
    // One character per byte, so that lengths match those of the wire.
    socket.setEncoding('latin1').setNoDelay(true);
    socket.on('data', (chunk: string) => this.#receive(chunk));
    socket.on('error', (error) => this.#response.reject(error));
    socket.on('close', () => this.#response.reject(new Error('the server closed the connection')));
    this.#response.promise.catch(() => undefined);
  }

  static async open(url: string): Promise<Connection> {
    const { hostname, port, host } = new URL(url);
    const socket = connect({ host: hostname, port: Number(port) });
    await once(socket, 'connect');
    return new Connection(socket, host);
  }

  /** Accepts one request at a time. */
  async send({ method, path, headers, body }: HttpRequest): Promise<HttpResponse> {
    this.#response = Promise.withResolvers();
    const lines = Object.entries(headers).map(([name, value]) => `${name}: ${value}\r\n`);
    if (body !== null) lines.push(`content-length: ${Buffer.byteLength(body)}\r\n`);
    this.#socket.write(
      `${method} ${path} HTTP/1.1\r\nhost: ${this.#host}\r\n${lines.join('')}\r\n${body ?? ''}`,
    );
    return this.#response.promise;
  }

  close(): void {
    this.#socket.removeAllListeners('close').destroy();
  }

  #receive(chunk: string): void {
    this.#received += chunk;
    const end = this.#received.indexOf('\r\n\r\n');
    if (end === -1) return;
    const status = Number(this.#received.slice(9, 12));
    const length = /\r\ncontent-length: *(\d+)/i.exec(this.#received.slice(0, end))?.[1];
    if (length === undefined && status !== 204 && status !== 304) {
      this.#response.reject(new Error(`response without a length: ${this.#received.slice(0, end)}`));
      return;
    }
    const whole = end + 4 + Number(length ?? 0);
    if (this.#received.length < whole) return;
    const text = this.#received.slice(end + 4, whole);
    this.#received = this.#received.slice(whole);
    this.#response.resolve({ status, text });
  }
}
