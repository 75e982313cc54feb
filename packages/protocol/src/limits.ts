import type { ChannelOptions } from "@grpc/grpc-js";

/** Bounds of the wire. Each says what happens when it is reached. */
export const limits = {
  /** Payload of one message of slices; a sender starts another message beyond it. */
  payloadBytesMax: 4 * 1024 * 1024,
  /** A larger message is refused by the receiver with RESOURCE_EXHAUSTED. One slice and its header fit. */
  messageBytesMax: 16 * 1024 * 1024,
  /** Calls at once over one connection; the client waits for a free one beyond it. */
  callsPerConnectionMax: 256,
  /** Streams of Push and Pull open at once over one connection; one more is refused with RESOURCE_EXHAUSTED. */
  streamsPerConnectionMax: 32,
  /** Connections of one server; one more is closed as soon as it is accepted. */
  connectionsMax: 4096,
  /**
   * HTTP/2 receive window of each stream and of each connection, both sides. A sender stops when so much is
   * under way or unread: it bounds what a paused stream holds in memory, and the rate to this much per round trip.
   */
  windowBytes: 16 * 1024 * 1024,
  /** HTTP/2 frames that each side takes; a sender splits its messages into frames of at most this. */
  frameBytesMax: 1024 * 1024,
  /**
   * Requests of one stream that a server works on at once. It reads no further beyond it, so that the windows
   * fill and the client stops.
   */
  requestsInFlightMax: 8,
  /** Requests of one stream that a client has sent and not seen answered; the next ones wait, in order. */
  requestsSentMax: 16,
  /** Requests of one stream that wait at the client; one more fails with resourceExhausted. */
  requestsQueuedMax: 16_384,
  /** A stream whose first request has not come by then is ended with DEADLINE_EXCEEDED. */
  firstRequestTimeoutMs: 30_000,
  /** A stream whose client takes nothing of an answer for so long is ended with RESOURCE_EXHAUSTED. */
  unreadTimeoutMs: 60_000,
  /** A stream without a request for so long is ended with OK; the client opens another when it needs one. */
  idleTimeoutMs: 30 * 60_000,
  /** A client that was told that its stream is over has so long to close it; then the stream is reset. */
  endGraceMs: 1_000,
  /** Refused callers that a server remembers, to tell of each once; the oldest is forgotten beyond it. */
  refusalsRememberedMax: 1024,
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
  "grpc-node.flow_control_window": limits.windowBytes,
  "grpc.keepalive_permit_without_calls": 1,
  "grpc.initial_reconnect_backoff_ms": limits.reconnectBackoffMinMs,
  "grpc.min_reconnect_backoff_ms": limits.reconnectBackoffMinMs,
  "grpc.max_reconnect_backoff_ms": limits.reconnectBackoffMaxMs,
  // One process talks to itself or its neighbours, never through a proxy of the environment.
  "grpc.enable_http_proxy": 0,
};

export const serverOptions: ChannelOptions = {
  ...shared,
  "grpc.max_concurrent_streams": limits.callsPerConnectionMax,
};
