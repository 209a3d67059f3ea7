// Prints each Terraform file as JSON: its text, its text as `terraform fmt` writes it, and its content.
// Arguments: the folder with the packages of HashiCorp's own parser, and the files.
const { readFileSync } = require("node:fs");
const { createRequire } = require("node:module");

const [folder, ...files] = process.argv.slice(2);
const fromFolder = createRequire(`${folder}/`);
const { format } = fromFolder("@cdktn/hcl-tools");
const { parse } = fromFolder("@cdktn/hcl2json");

async function main() {
  const read = {};
  for (const file of files) {
    const text = readFileSync(file, "utf8");
    read[file] = { text, formatted: await format(text), content: await parse(file, text) };
  }
  process.stdout.write(JSON.stringify(read));
}

main().then(() => process.exit(0));
