/** What a request says of itself, of all that decides whether it is answered. */
export interface RequestFacts {
  readonly method: string;
  /** Asks for data or gives a command, and not only for a file of the page. */
  readonly api: boolean;
  /** Headers; undefined for those that it lacks. */
  readonly host: string | undefined;
  readonly origin: string | undefined;
  readonly fetchSite: string | undefined;
  readonly contentType: string | undefined;
  readonly authorization: string | undefined;
}

export interface GuardOptions {
  /** The server listens on a loopback address only. */
  readonly loopback: boolean;
  /** The server speaks TLS. */
  readonly tls: boolean;
  /** What every request for data must bring; undefined: nothing. */
  readonly token: { isSentAs(header: string): boolean } | undefined;
}

export interface Refused {
  readonly status: 400 | 401 | 403 | 415;
  readonly message: string;
}

/**
 * Why a request is refused; undefined: it is answered.
 *
 * - A name that leads to the loopback address is in the hands of whoever owns it (DNS rebinding), so on loopback the
 *   request must have been addressed to loopback by name.
 * - Pages of other sites can send requests, though not read the answers: what a browser says came from elsewhere is
 *   refused, and commands must be JSON, which such a page can't send without asking first.
 * - On any other address whoever asks must know the token.
 */
export function refusalOf(request: RequestFacts, options: GuardOptions): Refused | undefined {
  const { host } = request;
  const name = host === undefined ? undefined : hostNameOf(host);
  if (host === undefined || name === undefined) {
    return { status: 400, message: `the request names host "${host ?? ""}"; expected a name or an address` };
  }
  if (options.loopback && !isLoopbackName(name)) {
    const message = `this page was asked for as ${name}, and answers to localhost, 127.0.0.1 and [::1] only; use one of these`;
    return { status: 403, message };
  }
  if (!request.api) return undefined;
  const from = foreignOrigin(request, `${options.tls ? "https" : "http"}://${host}`);
  if (from !== undefined) {
    return { status: 403, message: `the request comes from ${from}; only the page itself may send any` };
  }
  if (options.token !== undefined && !options.token.isSentAs(request.authorization ?? "")) {
    const what = request.authorization === undefined ? "none" : "another one";
    const message = `this address needs the cluster's join token, and the request brought ${what}; send "authorization: Bearer TOKEN"`;
    return { status: 401, message };
  }
  if (request.method === "POST" && !/^application\/json\s*(;|$)/i.test(request.contentType ?? "")) {
    const message = `the request's content type is ${request.contentType ?? "missing"}; expected application/json`;
    return { status: 415, message };
  }
  return undefined;
}

/** Where a request of another site comes from, by what the browser says; undefined for the page itself and programs. */
function foreignOrigin({ origin, fetchSite }: RequestFacts, own: string): string | undefined {
  if (origin !== undefined && origin.toLowerCase() !== own.toLowerCase()) return origin;
  if (fetchSite !== undefined && fetchSite !== "same-origin" && fetchSite !== "none")
    return `a ${fetchSite} page`;
  return undefined;
}

/** The name or address of a Host header, without its port; undefined for what is none. */
function hostNameOf(host: string): string | undefined {
  return /^(\[[0-9a-f:.]+\]|[a-z0-9_.-]+)(?::\d{1,5})?$/i.exec(host)?.[1]?.toLowerCase();
}

/** Whether a name or address means this machine to every resolver. */
export function isLoopbackName(name: string): boolean {
  return name === "localhost" || name === "[::1]" || name === "::1" || /^127(\.\d{1,3}){3}$/.test(name);
}
