// Makes dist/: one minified module, and the declarations of what it exports.

import { execFileSync } from "node:child_process";
import { cpSync, mkdirSync, readFileSync, rmSync } from "node:fs";
import { gzipSync } from "node:zlib";
import { build } from "esbuild";

const DECLARED = ["channels", "socket", "types"];

rmSync("dist", { recursive: true, force: true });
mkdirSync("dist");
await build({
  entryPoints: ["src/channels.ts"],
  outfile: "dist/channels.js",
  bundle: true,
  minify: true,
  format: "esm",
  target: "es2022",
  charset: "utf8",
  banner: { js: "// The client of channels. MIT OR Apache-2.0. Made from channels-core/client/src." },
});
execFileSync("npx", ["tsc", "--project", "tsconfig.build.json"], { stdio: "inherit" });
for (const name of DECLARED) cpSync(`build/types/${name}.d.ts`, `dist/${name}.d.ts`);
const made = readFileSync("dist/channels.js");
console.log(`dist/channels.js: ${made.length} bytes, ${gzipSync(made, { level: 9 }).length} gzipped`);
