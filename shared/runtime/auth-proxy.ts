/** The AlloyDB Auth Proxy next to a job: a job of Cloud Run ends when all of its containers have. */

const timeoutMs = 5_000;

/**
 * Stops the proxy, which listens for that with `--quitquitquit`.
 *
 * @param url its address (`AUTH_PROXY_QUIT_URL`); undefined: the service has no proxy
 * @param onFailure called if the proxy does not answer; the job then lasts until its timeout
 */
export async function stopAuthProxy(
  url: string | undefined,
  onFailure: (error: unknown) => void,
): Promise<void> {
  if (url === undefined) return;
  try {
    await fetch(url, { method: 'POST', signal: AbortSignal.timeout(timeoutMs) });
  } catch (error) {
    onFailure(error);
  }
}
