import { messageOf } from "@downpour/errors";
import protobuf from "protobufjs";
import { type RecordPlace, recordError } from "./tfrecord-frames.ts";

/** The messages of tensorflow/core/example/{example,feature}.proto. */
const exampleType = protobuf
  .parse(`
    syntax = "proto3";
    package tensorflow;
    message BytesList { repeated bytes value = 1; }
    message FloatList { repeated float value = 1 [packed = true]; }
    message Int64List { repeated int64 value = 1 [packed = true]; }
    message Feature {
      oneof kind { BytesList bytes_list = 1; FloatList float_list = 2; Int64List int64_list = 3; }
    }
    message Features { map<string, Feature> feature = 1; }
    message Example { Features features = 1; }`)
  .root.lookupType("tensorflow.Example");

interface Feature {
  readonly bytesList?: { readonly value: readonly Buffer[] } | null;
  readonly floatList?: { readonly value: readonly number[] } | null;
  /** Longs, which say their decimal digits. */
  readonly int64List?: { readonly value: readonly { toString(): string }[] } | null;
}

/** Most feature names that an error lists. */
const listedNamesMax = 20;

/** The features of one tf.Example. */
export interface TfExample {
  /**
   * The one value of a feature of bytes: a view of the data that were decoded.
   *
   * @param setting named as the next step in errors
   * @throws DownpourError `corruptData` if it is missing, or anything but one value of bytes
   */
  bytes(key: string, setting: string): Buffer;
  /**
   * The one value of a feature of int64; inexact beyond 53 bits.
   *
   * @throws DownpourError `corruptData` if it is missing, or anything but one int64
   */
  int64(key: string, setting: string): number;
}

/**
 * Decodes a tf.Example.
 *
 * @param place named in errors
 * @throws DownpourError `corruptData` if the data are no such message
 */
export function decodeExample(data: Buffer, place: RecordPlace): TfExample {
  const features = decodeFeatures(data, place);

  function find(key: string, setting: string): Feature {
    const feature = features.get(key);
    if (feature !== undefined) return feature;
    const names = [...features.keys()];
    const listed = names.slice(0, listedNamesMax).join(", ");
    const has = names.length === 0 ? "it has none" : `it has ${names.length}: ${listed}`;
    throw recordError(place, `has no feature ${key} (${has})`, `name the right one with ${setting}`);
  }

  return {
    bytes(key, setting) {
      const feature = find(key, setting);
      const [value, ...more] = feature.bytesList?.value ?? [];
      if (value !== undefined && more.length === 0) return value;
      throw wrongValue(place, key, feature, "one value of bytes", setting);
    },
    int64(key, setting) {
      const feature = find(key, setting);
      const [value, ...more] = feature.int64List?.value ?? [];
      if (value !== undefined && more.length === 0) return Number(value.toString());
      throw wrongValue(place, key, feature, "one int64", setting);
    },
  };
}

function decodeFeatures(data: Buffer, place: RecordPlace): ReadonlyMap<string, Feature> {
  try {
    const example = exampleType.decode(data) as unknown as {
      readonly features?: { readonly feature: Readonly<Record<string, Feature>> } | null;
    };
    return new Map(Object.entries(example.features?.feature ?? {}));
  } catch (cause) {
    throw recordError(
      place,
      `is no tf.Example (${messageOf(cause)})`,
      "write one tf.train.Example a record, as TensorFlow's guide to TFRecord does",
      { cause },
    );
  }
}

function wrongValue(place: RecordPlace, key: string, feature: Feature, expected: string, setting: string) {
  const found = describe(feature);
  return recordError(
    place,
    `has ${found} in the feature ${key}, expected ${expected}`,
    `write it so, or name another feature with ${setting}`,
  );
}

function describe({ bytesList, floatList, int64List }: Feature): string {
  if (bytesList) return `${bytesList.value.length} values of bytes`;
  if (floatList) return `${floatList.value.length} values of float`;
  if (int64List) return `${int64List.value.length} values of int64`;
  return "no value";
}
