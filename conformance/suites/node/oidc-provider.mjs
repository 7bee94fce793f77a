// Serves npm's oidc-provider for one client and anybody who types a name, until it is ended: oidc-provider.mjs PORT REDIRECT
import { pathToFileURL } from "node:url";

const [port, redirect] = process.argv.slice(2);
const { Provider } = await import(pathToFileURL(`${process.env.NODE_FOLDER}/node_modules/oidc-provider/lib/index.js`));

const provider = new Provider(`http://127.0.0.1:${port}`, {
  clients: [{
    client_id: "lineartime", client_secret: "hush hush", redirect_uris: [redirect],
    grant_types: ["authorization_code"], response_types: ["code"], token_endpoint_auth_method: "client_secret_basic",
  }],
  pkce: { required: () => true },
  claims: { openid: ["sub"], profile: ["preferred_username"], groups: ["groups"] },
  findAccount: async (_, id) => ({
    accountId: id,
    claims: async () => ({ sub: `number of ${id}`, preferred_username: id, groups: ["staff"] }),
  }),
  cookies: { keys: ["a key"] },
});
provider.on("server_error", (_, error) => console.log("error", error));
for (const event of ["authorization.error", "grant.error", "userinfo.error"]) {
  provider.on(event, (_, error) => console.log("refused", event, error.error_description ?? error.message));
}
provider.listen(Number(port), "127.0.0.1");
