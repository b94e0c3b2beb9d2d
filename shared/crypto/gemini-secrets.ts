/**
 * The secrets of the webhooks that are registered at Gemini for the project, as Google returned them: `whsec_` and base64,
 * separated by commas or white space. Each of them verifies, so that they are rotated without a refused webhook.
 */

/** Problems never contain a secret. */
export function parseGeminiSecrets(text: string): { secrets: string[]; problems: string[] } {
  const secrets = text.split(/[\s,]+/).filter((entry) => entry !== '');
  const problems = secrets.flatMap((secret, index) =>
    /^whsec_[A-Za-z0-9+/]{16,}={0,2}$/.test(secret)
      ? []
      : [`entry ${index + 1} must be whsec_ followed by base64, as Google returned it`],
  );
  return { secrets, problems };
}

/** Like `parseGeminiSecrets`. @throws {Error} listing every problem */
export function requireGeminiSecrets(text: string): string[] {
  const { secrets, problems } = parseGeminiSecrets(text);
  if (problems.length > 0) throw new Error(problems.join('; '));
  return secrets;
}
