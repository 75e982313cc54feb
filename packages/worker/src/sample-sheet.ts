import type { Preprocessing } from "@downpour/datasets";
import sharp from "sharp";

/** A sample image and what a network makes of it. */
export interface Sample {
  /** Normalised, [height, width, channels]. */
  readonly values: Float32Array;
  readonly label: string;
  /** Class that it is taken for, and its probability. */
  readonly predicted: string;
  readonly probability: number;
}

/** A PNG. */
export interface Sheet {
  readonly width: number;
  readonly height: number;
  readonly png: Uint8Array;
}

const columns = 4;
/** Shorter images are enlarged to so many pixels at least, so that they can be seen. */
const imageSizeMin = 96;
const frame = 4;
const captionHeight = 20;
const colours = { right: "#1b7837", wrong: "#b2182b", paper: "#ffffff" };

/** Draws samples in a grid, each in a green frame when it is told rightly, in a red one when not, with a caption. */
export async function drawSheet(samples: readonly Sample[], preprocessing: Preprocessing): Promise<Sheet> {
  const { height, width } = preprocessing;
  const times = Math.max(1, Math.ceil(imageSizeMin / Math.min(height, width)));
  const [imageWidth, imageHeight] = [width * times, height * times];
  const cellWidth = imageWidth + 2 * frame;
  const cellHeight = imageHeight + 2 * frame + captionHeight;
  const images = await Promise.all(
    samples.map(async ({ values }, i) => ({
      input: await imageOf(values, preprocessing, times),
      left: (i % columns) * cellWidth + frame,
      top: Math.floor(i / columns) * cellHeight + frame,
    })),
  );
  const size = {
    width: Math.min(columns, samples.length) * cellWidth,
    height: Math.ceil(samples.length / columns) * cellHeight,
  };
  const cells = samples.map((sample, i) => {
    const [x, y] = [(i % columns) * cellWidth, Math.floor(i / columns) * cellHeight];
    const colour = sample.label === sample.predicted ? colours.right : colours.wrong;
    const caption =
      `<text x="${x + frame}" y="${y + cellHeight - 6}" font-family="sans-serif" font-size="12" fill="${colour}" ` +
      `textLength="${Math.min(imageWidth, captionOf(sample).length * 7)}" lengthAdjust="spacingAndGlyphs">` +
      `${escaped(captionOf(sample))}</text>`;
    return `<rect x="${x}" y="${y}" width="${cellWidth}" height="${cellHeight - captionHeight}" fill="${colour}"/>${caption}`;
  });
  const drawing = `<svg xmlns="http://www.w3.org/2000/svg" width="${size.width}" height="${size.height}">${cells.join("")}</svg>`;
  const png = await sharp({ create: { ...size, channels: 3, background: colours.paper } })
    .composite([{ input: Buffer.from(drawing), left: 0, top: 0 }, ...images])
    .png()
    .toBuffer();
  return { ...size, png };
}

/** The same as a table in Markdown, for machines without fonts. */
export function samplesTable(samples: readonly Sample[]): string {
  const cell = (text: string) => text.replaceAll("|", "\\|");
  const rows = samples.map(({ label, predicted, probability }, i) => {
    const mark = label === predicted ? "" : "wrong";
    return `| ${i + 1} | ${cell(label)} | ${cell(predicted)} | ${Math.round(probability * 100)} % | ${mark} |`;
  });
  return ["| image | class | taken for | probability | |", "|---|---|---|---|---|", ...rows].join("\n");
}

function captionOf({ label, predicted, probability }: Sample): string {
  const share = `${Math.round(probability * 100)} %`;
  return label === predicted ? `${label} (${share})` : `${predicted} (${share}), is ${label}`;
}

/** Pixels from normalised values, enlarged without smoothing. */
async function imageOf(values: Float32Array, preprocessing: Preprocessing, times: number): Promise<Buffer> {
  const { height, width, channels, normalization } = preprocessing;
  const { kind, mean, deviation } = normalization;
  const bytes = Uint8Array.from(values, (value, i) => {
    const channel = i % channels;
    const share = value * (deviation[channel] ?? 1) + (mean[kind === "meanImage" ? i : channel] ?? 0);
    return Math.min(255, Math.max(0, Math.round(share * 255)));
  });
  return await sharp(bytes, { raw: { width, height, channels: channels as 1 | 3 } })
    .resize(width * times, height * times, { kernel: "nearest" })
    .png()
    .toBuffer();
}

function escaped(text: string): string {
  return text.replace(/[&<>"']/g, (character) => `&#${character.charCodeAt(0)};`);
}
