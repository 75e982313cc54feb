/** The Castagnoli polynomial's file of the package crc-32, which has types for its main file only. */
declare module "crc-32/crc32c.js" {
  const crc32c: {
    /** CRC-32C as a signed 32-bit integer. */
    buf(data: Uint8Array, seed?: number): number;
  };
  export default crc32c;
}
