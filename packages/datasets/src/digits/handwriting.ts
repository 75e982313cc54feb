/** A point that the pen passes through, in the digit's box: 0..1, x to the right, y down. */
export interface PenPoint {
  readonly x: number;
  readonly y: number;
  /** Whether the pen turns a sharp corner here, instead of running smoothly through. */
  readonly corner: boolean;
}
export type PenStroke = readonly PenPoint[];
export type WritingStyle = readonly PenStroke[];

/*
 * How each digit is written: several styles, each a list of strokes. A stroke is written as its points, "x,y" in
 * hundredths of the box, with "!" at a corner.
 */
const zero = [
  style("52,0 20,14 8,50 20,86 50,100 80,86 92,50 80,14 48,0"),
  style("64,5 34,6 16,48 32,92 58,96 80,56 72,14 50,1"),
  style("44,2 12,30 10,72 46,99 84,78 90,34 66,6 40,4"),
];

const one = [
  style("50,0 50,50 50,100"),
  style("30,24 54,0! 53,50 52,100"),
  style("28,22 52,0! 52,50 52,98", "26,99 52,98 78,99"),
  style("64,0 50,50 38,100"),
];

const two = [
  style("14,24 34,3 68,5 80,28 58,62 12,98! 50,98 88,98"),
  style("15,26 40,1 74,14 70,44 34,84 14,94 16,78 42,82 90,97"),
  style("18,16 46,2 78,20 66,54 14,99! 48,92 90,99"),
];

const three = [
  style("15,12 46,0 78,18 68,40 40,47! 76,57 85,80 50,100 12,88"),
  style("15,3 48,2 80,2! 46,40! 78,54 84,82 48,100 12,88"),
  style("18,10 50,0 76,20 58,44 40,47 62,50 85,73 58,99 14,92"),
];

const four = [
  style("26,2 16,58! 50,58 88,56", "68,14 67,60 65,100"),
  style("65,100 66,50 66,0! 38,36 10,68! 50,68 92,67"),
  style("20,2 17,42 36,58 80,50", "80,4 77,50 70,100"),
];

const five = [
  style("80,2 52,2 26,2! 20,44! 54,37 86,62 70,93 36,100 10,88"),
  style("26,4 20,46! 60,39 86,66 60,98 12,92", "26,4 56,3 86,1"),
  style("82,4 44,4 26,24 34,42 70,54 82,78 50,100 12,91"),
];

const six = [
  style("70,2 34,26 13,65 30,97 64,97 83,74 62,52 32,57 15,76"),
  style("54,0 26,38 18,76 46,100 76,84 68,59 38,60 20,80"),
  style("80,12 58,0 28,20 12,60 28,95 66,96 85,71 60,50 18,64"),
];

const seven = [
  style("12,4 48,4 86,4! 60,50 40,100"),
  style("12,4 48,4 86,4! 60,50 40,100", "30,52 52,51 76,50"),
  style("10,20 13,4! 50,7 90,3! 58,48 46,100"),
];

const eight = [
  style("72,12 46,0 20,18 38,42 72,62 80,84 50,100 18,84 30,60 66,40 78,20 68,8"),
  style("50,0 25,9 24,35 50,47 76,35 75,9 48,0", "50,47 19,59 17,88 50,100 83,88 81,59 48,47"),
  style("56,48 28,34 30,6 58,1 76,18 60,44 24,66 24,94 60,99 80,76 54,47"),
];

const nine = [
  style("80,20 54,0 22,14 18,42 48,55 75,38 80,16! 79,56 74,100"),
  style("78,18 50,1 20,20 26,48 60,46 80,18! 68,58 48,100"),
  style("78,22 50,2 20,22 28,48 60,46 81,20! 83,62 64,97 24,93"),
];

/** Styles by digit: `writingStyles[7]` are the ways to write a seven. */
export const writingStyles: readonly (readonly WritingStyle[])[] = [
  zero,
  one,
  two,
  three,
  four,
  five,
  six,
  seven,
  eight,
  nine,
];

function style(...strokes: readonly string[]): WritingStyle {
  return strokes.map((stroke) => stroke.split(" ").map(penPoint));
}

function penPoint(text: string): PenPoint {
  const [x = Number.NaN, y = Number.NaN] = text.replace("!", "").split(",").map(Number);
  return { x: x / 100, y: y / 100, corner: text.endsWith("!") };
}
