/* What tests need to know of Markdown: fenced blocks, headings and links. */

/**
 * @typedef {{ info: string, text: string, line: number }} Block
 *   A fenced block: what stands behind the fence, its text, and its first line in the page, from 1.
 */

/**
 * @param {string} markdown
 * @returns {Block[]} all fenced blocks, in order
 */
export function blocksOf(markdown) {
  /** @type {Block[]} */
  const blocks = [];
  /** @type {{ fence: string, info: string, lines: string[], line: number } | undefined} */
  let open;
  for (const [i, line] of markdown.split("\n").entries()) {
    const fence = /^(`{3,})(.*)$/.exec(line);
    if (open === undefined && fence !== null) {
      open = { fence: fence[1] ?? "", info: (fence[2] ?? "").trim(), lines: [], line: i + 2 };
    } else if (open !== undefined && line === open.fence) {
      blocks.push({ info: open.info, text: open.lines.join("\n"), line: open.line });
      open = undefined;
    } else {
      open?.lines.push(line);
    }
  }
  if (open !== undefined) throw new Error(`the block that begins at line ${open.line - 1} has no end`);
  return blocks;
}

/**
 * @param {string} markdown
 * @returns {string} the same without fenced blocks and code spans
 */
export function proseOf(markdown) {
  return markdown.replace(/^(`{3,}).*\n[\s\S]*?^\1$/gm, "").replace(/`[^`\n]*`/g, "``");
}

/**
 * @param {string} markdown
 * @returns {Set<string>} the anchors of its headings, as GitHub makes them
 */
export function anchorsOf(markdown) {
  const seen = new Map();
  const anchors = new Set();
  const text = markdown.replace(/^(`{3,}).*\n[\s\S]*?^\1$/gm, "");
  for (const [, heading = ""] of text.matchAll(/^#{1,6} +(.+?) *#*$/gm)) {
    const slug = heading
      .replace(/\[([^\]]*)\]\([^)]*\)/g, "$1")
      .toLowerCase()
      .replace(/[^\p{L}\p{N}\p{M}_ -]/gu, "")
      .replaceAll(" ", "-");
    const count = seen.get(slug) ?? 0;
    seen.set(slug, count + 1);
    anchors.add(count === 0 ? slug : `${slug}-${count}`);
  }
  return anchors;
}

/**
 * @param {string} markdown
 * @returns {{ page: string, anchor: string }[]} links and images to other files or anchors, not to the web
 */
export function localLinksOf(markdown) {
  const found = proseOf(markdown).matchAll(/\]\(([^()\s]+)(?: "[^"]*")?\)/g);
  return [...found]
    .map(([, target = ""]) => target)
    .filter((target) => !/^[a-z][a-z+.-]*:/i.test(target))
    .map((target) => {
      const [page = "", anchor = ""] = target.split("#");
      return { page, anchor };
    });
}
