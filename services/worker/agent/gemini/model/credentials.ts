import { ConfigError } from '#shared/runtime/config/env-reader.ts';

/** The settings of the Gemini client, named after the SDK's environment variables. */
export interface GeminiClientOptions {
  apiKey?: string | undefined;
  vertexai?: boolean | undefined;
  project?: string | undefined;
  location?: string | undefined;
  baseUrl?: string | undefined;
  /** Ends of calls are reported to the webhooks that are registered for the project. */
  projectWebhooks?: boolean | undefined;
}

/**
 * @throws {ConfigError} if neither an API key nor Vertex AI is configured, which should stop the start of a worker
 */
export function checkCredentials({ apiKey, vertexai = false, baseUrl }: GeminiClientOptions): void {
  if (vertexai || apiKey !== undefined || baseUrl !== undefined) return;
  throw new ConfigError([
    'Gemini has no credentials: set GEMINI_API_KEY, or GOOGLE_GENAI_USE_VERTEXAI=true with GOOGLE_CLOUD_PROJECT and GOOGLE_CLOUD_LOCATION',
  ]);
}
