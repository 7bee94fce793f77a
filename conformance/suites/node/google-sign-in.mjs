// Serves the sign-in of @emulators/google for one client and one user, until it is ended: google-sign-in.mjs REDIRECT
import { createServer as listen } from "node:http";
import { pathToFileURL } from "node:url";

const [redirect] = process.argv.slice(2);
const load = (name) => import(pathToFileURL(`${process.env.NODE_FOLDER}/node_modules/@emulators/${name}/dist/index.js`));
const [{ createServer }, { googlePlugin, seedFromConfig }] = await Promise.all([load("core"), load("google")]);

const server = listen(async (request, response) => {
  const chunks = [];
  for await (const chunk of request) chunks.push(chunk);
  const body = chunks.length ? Buffer.concat(chunks) : undefined;
  const answer = await app.fetch(new Request(base + request.url, { method: request.method, headers: request.headers, body }));
  console.log(`${request.method} ${request.url.split("?")[0]} ${answer.status}`);
  response.writeHead(answer.status, Object.fromEntries(answer.headers));
  response.end(Buffer.from(await answer.arrayBuffer()));
});
await new Promise((done) => server.listen(0, "127.0.0.1", done));
const base = `http://127.0.0.1:${server.address().port}`;
const { app, store } = createServer(googlePlugin, { baseUrl: base });
seedFromConfig(store, base, {
  users: [{ email: "ana@example.org", name: "Ana" }],
  oauth_clients: [{ client_id: "client-1", client_secret: "hush", name: "LinearTime", redirect_uris: [redirect] }],
});
console.log(base);
