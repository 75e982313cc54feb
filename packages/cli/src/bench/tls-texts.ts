import type { TlsMaterial } from "@downpour/protocol";

/** What one side of a TLS connection holds, as PEM texts that go to another process. */
export type PemTexts = { readonly [Part in keyof TlsMaterial]: string };

export function textsOf({ ca, certificate, key }: TlsMaterial): PemTexts {
  return { ca: ca.toString(), certificate: certificate.toString(), key: key.toString() };
}

export function materialOf({ ca, certificate, key }: PemTexts): TlsMaterial {
  return { ca: Buffer.from(ca), certificate: Buffer.from(certificate), key: Buffer.from(key) };
}
