/*
 * The health check of a container: asks a role's own endpoint, .../healthz (alive) or .../readyz (takes part), and ends
 * with status 0 where the answer is yes.
 */
const [url = "http://127.0.0.1:9464/readyz"] = process.argv.slice(2);
try {
  const answer = await fetch(url, { signal: AbortSignal.timeout(4000) });
  process.stdout.write(await answer.text());
  process.exitCode = answer.ok ? 0 : 1;
} catch (error) {
  process.stdout.write(`${url} does not answer: ${error instanceof Error ? error.message : error}\n`);
  process.exitCode = 1;
}
