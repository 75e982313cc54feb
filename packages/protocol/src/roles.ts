/** Who a certificate speaks for. `admin` is a person or a launcher: it watches a job and controls it. */
export const roles = ["coordinator", "server", "worker", "evaluator", "admin"] as const;

export type Role = (typeof roles)[number];

/** Roles that others connect to; their certificates name hosts. */
export const listeningRoles: readonly Role[] = ["coordinator", "server"];

const prefix = "downpour://role/";

/** The URI that a certificate of the role carries as a subject alternative name. */
export function roleUri(role: Role): string {
  return `${prefix}${role}`;
}

/**
 * The roles that a certificate names, in the order of {@link roles}; none for a name that is not known.
 *
 * @param alternativeNames the subject alternative names as Node.js writes them: `URI:downpour://role/worker, DNS:…`
 */
export function rolesNamedIn(alternativeNames: string | undefined): Role[] {
  // Node quotes names with unusual characters; what is inside the quotes must not pass for a name of its own.
  if (alternativeNames === undefined || alternativeNames.includes('"')) return [];
  const names = alternativeNames.split(", ");
  return roles.filter((role) => names.includes(`URI:${roleUri(role)}`));
}
