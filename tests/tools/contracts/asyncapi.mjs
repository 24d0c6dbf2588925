// Validates an AsyncAPI document with AsyncAPI's own parser. Usage: node asyncapi.mjs DOCUMENT.
// NODE_PATH names the npm folder in which @asyncapi/parser is installed.
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";

const { Parser } = createRequire(`${process.env.NODE_PATH}/`)("@asyncapi/parser");
const { document, diagnostics } = await new Parser().parse(readFileSync(process.argv[2], "utf8"));
for (const { severity, code, path, message } of diagnostics) console.log(severity, code, path.join("."), message);
if (!document || diagnostics.some((each) => each.severity < 2)) process.exit(1);
console.log(`${process.argv[2]}: valid, ${document.channels().all().length} channels, ${document.allMessages().all().length} messages`);
