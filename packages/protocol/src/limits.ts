import type { ChannelOptions } from "@grpc/grpc-js";

/** Bounds of the wire. Each says what happens when it is reached. */
export const limits = {
  /** Payload of one message of slices; a sender starts another message beyond it. */
  payloadBytesMax: 4 * 1024 * 1024,
  /** A larger message is refused by the receiver with RESOURCE_EXHAUSTED. One slice and its header fit. */
  messageBytesMax: 16 * 1024 * 1024,
  /** Streams of one connection; the client waits for a free one beyond it. */
  streamsPerConnectionMax: 256,
  /** Silence after which a ping is sent, so that a peer that vanished is noticed. */
  keepaliveIntervalMs: 10_000,
  /** A connection whose ping is not answered for so long is closed; its calls end as UNAVAILABLE. */
  keepaliveTimeoutMs: 10_000,
  /** Bounds of the jittered pause between attempts to connect. */
  reconnectBackoffMinMs: 100,
  reconnectBackoffMaxMs: 2_000,
} as const;

const shared: ChannelOptions = {
  "grpc.max_receive_message_length": limits.messageBytesMax,
  "grpc.max_send_message_length": limits.messageBytesMax,
  "grpc.keepalive_time_ms": limits.keepaliveIntervalMs,
  "grpc.keepalive_timeout_ms": limits.keepaliveTimeoutMs,
};

export const clientOptions: ChannelOptions = {
  ...shared,
  "grpc.keepalive_permit_without_calls": 1,
  "grpc.initial_reconnect_backoff_ms": limits.reconnectBackoffMinMs,
  "grpc.min_reconnect_backoff_ms": limits.reconnectBackoffMinMs,
  "grpc.max_reconnect_backoff_ms": limits.reconnectBackoffMaxMs,
  // One process talks to itself or its neighbours, never through a proxy of the environment.
  "grpc.enable_http_proxy": 0,
};

export const serverOptions: ChannelOptions = {
  ...shared,
  "grpc.max_concurrent_streams": limits.streamsPerConnectionMax,
};
