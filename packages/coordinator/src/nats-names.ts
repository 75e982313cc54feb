/* What a job, a key of its store and an event are called in NATS, where `.`, `*`, `>` and blanks mean something. */

/** The bucket of a job's state; the `nats` command line tool shows it under this name. */
export function bucketOf(job: string): string {
  return `downpour-${nameOf(job)}`;
}

/** The stream under a bucket, as NATS names them. */
export function bucketStreamOf(job: string): string {
  return `KV_${bucketOf(job)}`;
}

/** The stream of a job's events. */
export function eventStreamOf(job: string): string {
  return `downpour-${nameOf(job)}-events`;
}

/** The subject of an event: `downpour.<job>.events.<type>`. */
export function eventSubjectOf(job: string, type: string): string {
  return `downpour.${nameOf(job)}.events.${nameOf(type)}`;
}

/** Subjects of all events of a job. */
export function eventSubjectsOf(job: string): string {
  return `downpour.${nameOf(job)}.events.>`;
}

/** The subject that holds a key's value. Different keys have different subjects; each is one token below the bucket. */
export function keySubjectOf(job: string, key: string): string {
  const token = key.replaceAll("=", "=3D").replaceAll(".", "=2E");
  return `$KV.${bucketOf(job)}.${token}`;
}

/** All keys of a job. */
export function keySubjectsOf(job: string): string {
  return `$KV.${bucketOf(job)}.>`;
}

/** The key of a subject that {@link keySubjectOf} made. */
export function keyOfSubject(job: string, subject: string): string {
  const token = subject.slice(`$KV.${bucketOf(job)}.`.length);
  return token.replaceAll("=2E", ".").replaceAll("=3D", "=");
}

/** Letters, digits and `-` as they are, any other byte of UTF-8 as `_` and two hexadecimal digits. */
function nameOf(text: string): string {
  return [...Buffer.from(text)].map((byte) => nameByte(byte)).join("");
}

function nameByte(byte: number): string {
  const character = String.fromCharCode(byte);
  return /[-a-zA-Z0-9]/.test(character) ? character : `_${byte.toString(16).padStart(2, "0")}`;
}
