import { createReadStream, existsSync, statSync } from "node:fs";
import { createServer } from "node:http";
import { createRequire } from "node:module";
import { dirname, extname, join, normalize } from "node:path";
import { fileURLToPath } from "node:url";

/* Serves the page on this machine: node examples/draw-digit/serve.mjs FOLDER [PORT] */

const [folder, port = "8080"] = process.argv.slice(2);
if (folder === undefined || !existsSync(join(folder, "model.json"))) {
  console.error(
    "Usage: node serve.mjs FOLDER [PORT], where FOLDER was made by downpour export --format tfjs",
  );
  process.exit(2);
}

const here = dirname(fileURLToPath(import.meta.url));
const tfjs = createRequire(import.meta.url).resolve("@tensorflow/tfjs/dist/tf.min.js");
const types = { ".html": "text/html", ".js": "text/javascript", ".json": "application/json" };

/** The file of a path; undefined for what is not served. */
function fileOf(path) {
  if (path === "/") return join(here, "index.html");
  if (path === "/classify.js") return join(here, "classify.js");
  if (path === "/tf.min.js") return tfjs;
  if (path.startsWith("/model/")) return join(folder, normalize(path.slice("/model".length)));
  return undefined;
}

const server = createServer((request, response) => {
  const file = fileOf(new URL(request.url ?? "/", "http://localhost").pathname);
  if (file === undefined || !existsSync(file) || !statSync(file).isFile()) {
    response.writeHead(404).end("not found");
    return;
  }
  response.writeHead(200, { "content-type": types[extname(file)] ?? "application/octet-stream" });
  createReadStream(file).pipe(response);
});
server.listen(Number(port), "127.0.0.1", () => {
  console.log(`http://127.0.0.1:${server.address().port}/`);
});
