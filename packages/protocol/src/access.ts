import { DownpourError } from "@downpour/errors";
import type {
  handleBidiStreamingCall,
  handleUnaryCall,
  ServiceDefinition,
  UntypedServiceImplementation,
} from "@grpc/grpc-js";
import { endStream } from "./end-stream.ts";
import type { FailedConnection } from "./http2-tuning.ts";
import { type JoinToken, tokenKey } from "./join-token.ts";
import { rolesAllowed } from "./permissions.ts";
import { type Role, rolesNamedIn } from "./roles.ts";
import { toCallStatus } from "./status.ts";
import { ToldRefusals } from "./told-refusals.ts";

/**
 * Why a call was refused:
 * - `noToken`, `wrongToken`: the server wants a join token, and the call brought none or another one
 * - `noRole`: the caller's certificate names no role
 * - `wrongRole`: it names roles that may not call this RPC
 *
 * or a connection, before any call:
 * - `plainText`: it did not begin with TLS
 * - `noCertificate`: the other side showed none
 * - `expiredCertificate`: its certificate is not valid any more, or not yet
 * - `wrongCertificate`: another authority signed it
 */
export const refusalReasons = [
  "noToken",
  "wrongToken",
  "noRole",
  "wrongRole",
  "plainText",
  "noCertificate",
  "expiredCertificate",
  "wrongCertificate",
] as const;

export type RefusalReason = (typeof refusalReasons)[number];

/** A call or a connection that was refused, for a log. It has no secret in it. */
export interface Refusal {
  readonly reason: RefusalReason;
  /** IP address of the caller. */
  readonly peer: string;
  /** Path of the RPC, for example `/downpour.v1.Coordinator/Join`; empty for a connection. */
  readonly rpc: string;
  /** What the caller of an RPC was told. */
  readonly message: string;
}

/** How many calls and connections were refused so far, by reason. */
export type RefusalCounts = Readonly<Record<RefusalReason, number>>;

export interface AccessOptions {
  /** What every call must bring. Without it, a certificate is enough. */
  readonly token?: JoinToken | undefined;
  /** Called with the first refusal of each peer and RPC, or of each peer where it is about its token or its connection. */
  readonly onRefused?: (refusal: Refusal) => void;
}

type HandleUnary = handleUnaryCall<unknown, unknown>;
type HandleStream = handleBidiStreamingCall<unknown, unknown>;
type Call = Pick<Parameters<HandleUnary>[0], "metadata" | "getPeer" | "getAuthContext">;

/** Decides who may call what on one server with mutual TLS, and counts those that may not, and connections that failed. */
export class AccessGuard {
  readonly #options: AccessOptions;
  readonly #counts = Object.fromEntries(refusalReasons.map((reason) => [reason, 0])) as Record<
    RefusalReason,
    number
  >;
  readonly #told = new ToldRefusals();

  constructor(options: AccessOptions) {
    this.#options = options;
  }

  /** Grows with every refused call and connection. */
  get refusals(): RefusalCounts {
    return this.#counts;
  }

  /**
   * The handlers of a service, each behind a check of its caller. A stream is refused before anything is read from it.
   * @throws internal when an RPC has no entry in the table of permissions
   */
  protect(
    definition: ServiceDefinition,
    implementation: UntypedServiceImplementation,
  ): UntypedServiceImplementation {
    const guarded: UntypedServiceImplementation = {};
    for (const [name, { path, originalName, responseStream }] of Object.entries(definition)) {
      const allowed = rolesAllowed(path);
      const handle = implementation[name] ?? (originalName && implementation[originalName]);
      if (typeof handle !== "function") continue;
      const call = handle.bind(implementation) as unknown;
      guarded[name] = responseStream
        ? this.#guardStream(path, allowed, call as HandleStream)
        : this.#guardUnary(path, allowed, call as HandleUnary);
    }
    return guarded;
  }

  /** A connection did not come about. One that is just given up by the other side is no refusal. */
  connectionFailed({ code, peer }: FailedConnection): void {
    const [reason, why] = whyRefused(code) ?? [];
    if (reason === undefined) return;
    this.#counts[reason]++;
    const message = `a connection from ${peer} was refused: ${why} (${code})`;
    this.#tell(`${peer} ${reason}`, { reason, peer, rpc: "", message });
  }

  #guardUnary(path: string, allowed: readonly Role[], handle: HandleUnary): HandleUnary {
    return (call, callback) => {
      const refused = this.#refuse(path, allowed, call);
      if (refused === undefined) handle(call, callback);
      else callback(toCallStatus(refused));
    };
  }

  #guardStream(path: string, allowed: readonly Role[], handle: HandleStream): HandleStream {
    return (stream) => {
      const refused = this.#refuse(path, allowed, stream);
      if (refused === undefined) {
        handle(stream);
        return;
      }
      stream.on("error", () => undefined);
      endStream(stream, refused);
    };
  }

  /** What to tell a caller that is refused. */
  #refuse(rpc: string, allowed: readonly Role[], call: Call): DownpourError | undefined {
    const { token } = this.#options;
    if (token !== undefined) {
      const sent = call.metadata.get(tokenKey)[0]?.toString();
      // Handlers need not see it, so none can log it.
      call.metadata.remove(tokenKey);
      if (sent === undefined) {
        const message = `${rpc} needs the cluster's join token, and the call brought none; give this process the token file that the coordinator has`;
        return this.#count("noToken", rpc, call, new DownpourError("unauthenticated", message));
      }
      if (!token.isSentAs(sent)) {
        const message = `${rpc} needs the cluster's join token, and the call brought another one; give this process the token file that the coordinator has`;
        return this.#count("wrongToken", rpc, call, new DownpourError("unauthenticated", message));
      }
    }
    const found = rolesNamedIn(call.getAuthContext().sslPeerCertificate?.subjectaltname);
    if (found.some((role) => allowed.includes(role))) return undefined;
    const reason = found.length === 0 ? "noRole" : "wrongRole";
    const who = found.length === 0 ? "names no role" : `is of role ${found.join(", ")}`;
    const message = `${rpc} may be called by ${allowed.join(", ")}, and the caller's certificate ${who}; start this process with the certificate of its own role`;
    return this.#count(reason, rpc, call, new DownpourError("permissionDenied", message));
  }

  #count(reason: RefusalReason, rpc: string, call: Call, error: DownpourError): DownpourError {
    this.#counts[reason]++;
    const peer = hostOf(call.getPeer());
    const isToken = reason === "noToken" || reason === "wrongToken";
    const key = isToken ? `${peer} ${reason}` : `${peer} ${rpc}`;
    this.#tell(key, { reason, peer, rpc, message: error.message });
    return error;
  }

  #tell(key: string, refusal: Refusal): void {
    if (this.#told.isNew(key)) this.#options.onRefused?.(refusal);
  }
}

/** Why a connection failed, by the codes of Node and OpenSSL. */
function whyRefused(code: string): [RefusalReason, string] | undefined {
  if (["CERT_HAS_EXPIRED", "CERT_NOT_YET_VALID"].includes(code)) {
    return ["expiredCertificate", "its certificate is not valid now; renew it, or set the clocks right"];
  }
  if (code === "ERR_SSL_PEER_DID_NOT_RETURN_A_CERTIFICATE") {
    return ["noCertificate", "it showed no certificate"];
  }
  if (["ERR_SSL_WRONG_VERSION_NUMBER", "ERR_SSL_HTTP_REQUEST"].includes(code)) {
    return ["plainText", "it spoke plain text, and this cluster speaks TLS"];
  }
  // All else that is wrong with a chain: UNABLE_TO_VERIFY_LEAF_SIGNATURE, SELF_SIGNED_CERT_IN_CHAIN, INVALID_PURPOSE...
  if (/^(UNABLE_TO_|CERT_|DEPTH_ZERO_|SELF_SIGNED_|INVALID_)/.test(code)) {
    return ["wrongCertificate", "its certificate was not signed by this cluster's authority for a client"];
  }
  return undefined;
}

/** A peer without its port, which is another one for each connection. */
function hostOf(peer: string): string {
  return peer.replace(/:\d+$/, "");
}
