/** The guide, docs/consistency.md: its examples are those of demo/guarantees.ts, and they hold. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from '@jest/globals';
import { startSystem, type System } from './system.js';

const ROOT = join(import.meta.dirname, '..');
const guide = readFileSync(join(ROOT, 'docs/consistency.md'), 'utf8');
const program = readFileSync(join(ROOT, 'demo/guarantees.ts'), 'utf8');
/** What stands between the fences. */
const quoted = (language: string) => [...guide.matchAll(new RegExp(`^\`\`\`${language}\n(.*?)^\`\`\`$`, 'gms'))].map(([, text]) => text!);
const examples = new Map([...program.matchAll(/^ {2}async '([^']*)'\(\) \{\n(.*?)^ {2}\},$/gms)].map(([, title, text]) => [title!, text!]));

let system: System;
let folder: string;
beforeAll(async () => {
  system = await startSystem({ gateways: 2, readSides: 2 });
  folder = mkdtempSync(join(tmpdir(), 'cheeper-guide-'));
});
afterAll(async () => {
  await system?.stop();
  rmSync(folder, { recursive: true, force: true });
});

/** What a program has said, and its exit code once it has ended. */
async function run(command: string, args: string[], options: { cwd: string; env?: NodeJS.ProcessEnv }) {
  const child = spawn(command, args, { ...options, stdio: ['ignore', 'pipe', 'inherit'] });
  let output = '';
  child.stdout.on('data', (data) => (output += data));
  const [code] = (await once(child, 'close')) as [number | null];

  return { output, code };
}

it('quotes the program word for word, and all of it', () => {
  // The program is indented.
  expect(quoted('ts')).toEqual([...examples.values()].map((text) => text.replaceAll(/^ {4}/gm, '')));
});

it('has examples that hold, over two gateways; and then nothing is left open', async () => {
  const env = { ...process.env, NODE_OPTIONS: '', CHEEPER_URL: system.gateways.map((gateway) => system.urlOf(gateway)).join(',') };
  const args = ['--import', '@swc-node/register/esm-register', 'demo/main.ts', 'guarantees'];
  const { output, code } = await run(process.execPath, args, { cwd: ROOT, env });

  for (const title of examples.keys()) expect(output).toContain(`✓ ${title}`);
  expect(output).toContain(`All ${examples.size} lines held`);
  expect(code).toBe(0);
});

it('has commands for a shell that do what it says', async () => {
  const script = quoted('sh').join('\n').replaceAll('localhost:4000', new URL(system.url).host);
  const { output } = await run('bash', ['-c', script], { cwd: folder });

  expect(output).toContain('"signUp":{"status":"COMMITTED"}');
  expect(output).toContain('"postCheep":{"status":"COMMITTED","consistencyToken":"');
  expect(output).toContain('"viewer":{"cheepsCount":1}');
  expect(output).toMatch(/^event: next\ndata: \{"data":\{"timeline":\{"__typename":"TimelineLive","cursor":"/m);
});
