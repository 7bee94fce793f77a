// Bundles one page, serves it beside the gateway's API, opens it in Chromium and prints what it shows, one line an event.
//
//   NODE_FOLDER=.. CHROMIUM=.. node run.mjs PAGE GATEWAY USER PASSWORD

import { createServer } from "node:http";
import { createRequire } from "node:module";
import path from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";

const [page, gateway, user, password] = process.argv.slice(2);
const here = path.dirname(fileURLToPath(import.meta.url));
const node = process.env.NODE_FOLDER;
const need = createRequire(path.join(node, "package.json"));
const { build } = need("esbuild");
const { chromium } = (await import(pathToFileURL(need.resolve("playwright-core")))).default;

const entry = `
import { mount, shown } from "./pages/${page}.jsx";
import { occurrences } from "./adapters.js";
const root = document.getElementById("root");
window.shown = () => shown(root);
const ready = async () => {
  await mount(root, await occurrences("2026-03-01", "2026-04-01", "Europe/Berlin"));
};
ready().then(() => { window.ready = true; }, (error) => { window.failed = String(error); });
`;
const bundled = await build({
  stdin: { contents: entry, resolveDir: here, loader: "jsx" }, bundle: true, write: false, outdir: "out", jsx: "automatic",
  nodePaths: [path.join(node, "node_modules")], define: { "process.env.NODE_ENV": '"production"', global: "window" },
  loader: { ".woff": "dataurl", ".woff2": "dataurl", ".svg": "dataurl" }, logLevel: "error",
});
const files = Object.fromEntries(bundled.outputFiles.map((file) => [path.extname(file.path), file.text]));
const html = `<!doctype html><meta charset="utf-8"><style>${files[".css"] ?? ""}</style><div id="root"></div><script src="/page.js"></script>`;

// One origin for the page and the API, as behind a proxy.
const server = createServer(async (request, response) => {
  if (request.url === "/page.js") return response.setHeader("content-type", "text/javascript").end(files[".js"]);
  if (!request.url.startsWith("/api/")) return response.setHeader("content-type", "text/html").end(html);
  const authorization = `Basic ${Buffer.from(`${user}:${password}`).toString("base64")}`;
  const answer = await fetch(gateway + request.url, { headers: { authorization } });
  response.writeHead(answer.status, { "content-type": answer.headers.get("content-type") });
  response.end(await answer.text());
});
await new Promise((listening) => server.listen(0, "127.0.0.1", listening));

const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM, args: ["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"],
});
try {
  const context = await browser.newContext({ timezoneId: "Europe/Berlin", locale: "en-GB", viewport: { width: 1280, height: 1000 } });
  const tab = await context.newPage();
  const errors = [];
  tab.on("pageerror", (error) => errors.push(String(error)));
  await tab.goto(`http://127.0.0.1:${server.address().port}/`);
  await tab.waitForFunction(() => window.failed || (window.ready && window.shown().length > 0), null, { timeout: 20000 })
    .catch((error) => errors.push(String(error)));
  const failed = await tab.evaluate(() => window.failed);
  if (failed) errors.push(failed);
  if (process.env.SCREENSHOT) await tab.screenshot({ path: process.env.SCREENSHOT });
  const shown = await tab.evaluate(() => window.shown());
  console.log([...new Set(shown)].sort().join("\n"));
  if (errors.length > 0) {
    console.error(errors.join("\n"));
    process.exitCode = 1;
  }
} finally {
  await browser.close();
  server.close();
}
