// Makes dash/assets of dash/web/src: node build.mjs [DIRECTORY]
import { createHash } from "node:crypto";
import { copyFileSync, readFileSync, readdirSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";

const here = dirname(fileURLToPath(import.meta.url));
const out = process.argv[2] ?? join(here, "..", "assets");

await build({
  entryPoints: [join(here, "src", "dash.ts"), join(here, "src", "dash.css")],
  outdir: out,
  bundle: true,
  minify: true,
  format: "esm",
  target: ["es2022", "safari16"],
  charset: "utf8",
  legalComments: "none", // the licence is beside it
  logLevel: "warning",
});
copyFileSync(join(here, "src", "icon.svg"), join(out, "icon.svg"));
const version = JSON.parse(readFileSync(join(here, "node_modules/uplot/package.json"), "utf8")).version;
writeFileSync(
  join(out, "LICENSE.txt"),
  `dash.js and dash.css contain uPlot ${version}, https://github.com/leeoniya/uPlot\n\n` + readFileSync(join(here, "node_modules/uplot/LICENSE"), "utf8"),
);

// A test that has no node compares this with the sources.
const sum = createHash("sha256");
for (const name of ["build.mjs", "package-lock.json", ...readdirSync(join(here, "src")).sort().map((f) => "src/" + f)]) {
  sum.update(name + "\0").update(readFileSync(join(here, name)));
}
writeFileSync(join(out, "sources.sum"), sum.digest("hex") + "\n");
