// Unpacks the Chromium of @sparticuz/chromium: node unpack.mjs FOLDER, which contains the package in `package/`.
import { createReadStream, createWriteStream } from 'node:fs';
import { pipeline } from 'node:stream/promises';
import { createBrotliDecompress } from 'node:zlib';

process.chdir(process.argv[2]);
for (const [packed, file, mode] of [
  ['chromium.br', 'chromium', 0o755],
  ['al2023.tar.br', 'libraries.tar', 0o644],
  ['fonts.tar.br', 'fonts.tar', 0o644],
]) {
  await pipeline(
    createReadStream(`package/bin/${packed}`),
    createBrotliDecompress(),
    createWriteStream(file, { mode }),
  );
}
