// The page at /docs: Swagger UI with the service's own OpenAPI document. Both come from the service alone.

import { description, ROOT } from "./api.js";

/* global SwaggerUIBundle */

/** The document with its calls going where this page is from, also below a prefix of which the service is not told. */
function here(document) {
  return ROOT.pathname === "/" ? document : { ...document, servers: [{ url: ROOT.pathname.replace(/\/$/, "") }] };
}

async function show() {
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const follow = () => document.documentElement.classList.toggle("dark-mode", dark.matches);
  dark.addEventListener("change", follow);
  follow();
  SwaggerUIBundle({
    spec: here(await description()),
    domNode: document.getElementById("operations"),
    deepLinking: true,
    validatorUrl: null, // else the document's address is sent to a validator elsewhere
  });
}

show().catch((error) => {
  document.getElementById("problem").textContent = `The document cannot be loaded: ${error.message}`;
});
