/** What the client of Gemini is made of, as the SDK's own environment variables have it. */
export interface GeminiClientOptions {
  apiKey?: string | undefined;
  vertexai?: boolean | undefined;
  project?: string | undefined;
  location?: string | undefined;
  baseUrl?: string | undefined;
}

/** @throws {Error} when neither a key nor Vertex AI is configured: worth stopping the start for */
export function checkCredentials({ apiKey, vertexai = false, baseUrl }: GeminiClientOptions): void {
  if (vertexai || apiKey !== undefined || baseUrl !== undefined) return;
  throw new Error(
    'No credentials for Gemini: set GEMINI_API_KEY, or GOOGLE_GENAI_USE_VERTEXAI=true with GOOGLE_CLOUD_PROJECT and GOOGLE_CLOUD_LOCATION.',
  );
}
