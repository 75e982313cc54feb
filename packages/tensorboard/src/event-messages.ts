import protobuf from "protobufjs";

/* The messages of tensorboard/compat/proto/{event,summary,histogram,tensor}.proto, as far as they are written here. */

/** Sums of a distribution, and how many values are in each bucket. */
export interface Histogram {
  readonly min: number;
  readonly max: number;
  readonly num: number;
  readonly sum: number;
  readonly sumSquares: number;
  /** Upper edges, ascending; the first bucket begins at `min`. */
  readonly bucketLimit: readonly number[];
  readonly bucket: readonly number[];
}

/** A PNG. */
export interface SummaryImage {
  readonly height: number;
  readonly width: number;
  /** 1 grey, 3 RGB, 4 RGB with transparency. */
  readonly colorspace: number;
  readonly encodedImageString: Uint8Array;
}

/** One named value of a step. */
export type SummaryValue = { readonly tag: string } & (
  | { readonly simpleValue: number }
  | { readonly histo: Histogram }
  | { readonly image: SummaryImage }
  | { readonly metadata: SummaryMetadata; readonly tensor: StringTensor }
);

export interface SummaryMetadata {
  readonly pluginData: { readonly pluginName: string };
}

/** A tensor of texts; `dtype` 7 is DT_STRING. */
export interface StringTensor {
  readonly dtype: 7;
  readonly tensorShape: { readonly dim: readonly { readonly size: number }[] };
  readonly stringVal: readonly Uint8Array[];
}

/** One record of an event file. */
export interface BoardEvent {
  /** Seconds since 1970. */
  readonly wallTime: number;
  readonly step?: number;
  /** Of the first record only. */
  readonly fileVersion?: string;
  readonly summary?: { readonly value: readonly SummaryValue[] };
}

const eventType = protobuf
  .parse(`
    syntax = "proto3";
    package tensorboard;
    message HistogramProto {
      double min = 1; double max = 2; double num = 3; double sum = 4; double sum_squares = 5;
      repeated double bucket_limit = 6 [packed = true];
      repeated double bucket = 7 [packed = true];
    }
    message TensorShapeProto { message Dim { int64 size = 1; } repeated Dim dim = 2; }
    message TensorProto { int32 dtype = 1; TensorShapeProto tensor_shape = 2; repeated bytes string_val = 8; }
    message SummaryMetadata {
      message PluginData { string plugin_name = 1; bytes content = 2; }
      PluginData plugin_data = 1;
    }
    message Summary {
      message Image { int32 height = 1; int32 width = 2; int32 colorspace = 3; bytes encoded_image_string = 4; }
      message Value {
        string tag = 1;
        SummaryMetadata metadata = 9;
        oneof value { float simple_value = 2; Image image = 4; HistogramProto histo = 5; TensorProto tensor = 8; }
      }
      repeated Value value = 1;
    }
    message Event {
      double wall_time = 1;
      int64 step = 2;
      oneof what { string file_version = 3; Summary summary = 5; }
    }`)
  .root.lookupType("tensorboard.Event");

export function encodeEvent(event: BoardEvent): Uint8Array {
  return eventType.encode(eventType.fromObject(event)).finish();
}

/** What {@link encodeEvent} encoded, with defaults left out; for those who read a file back. */
export function decodeEvent(data: Uint8Array): BoardEvent {
  return eventType.toObject(eventType.decode(data), { longs: Number, arrays: true }) as BoardEvent;
}
