import type { ErrorCode } from "@downpour/errors";

/** What a role process tells the launcher that started it. */
export type ChildMessage =
  | { readonly type: "listening"; readonly address: string }
  | { readonly type: "page"; readonly url: string }
  | { readonly type: "notice"; readonly text: string }
  | { readonly type: "failed"; readonly code: ErrorCode; readonly message: string };

/** Sends to the launcher, where there is one. */
export function tellParent(message: ChildMessage): void {
  if (process.connected) process.send?.(message);
}
