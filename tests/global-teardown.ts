import { rm } from 'node:fs/promises';

export default async function globalTeardown() {
  if (globalThis.testStack === undefined) return;

  const { stack, dataDir } = globalThis.testStack;
  await stack.stop();
  await rm(dataDir, { recursive: true, force: true });
}
