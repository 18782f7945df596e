/**
 * The guide, docs/consistency.md: its examples are those of demo/guarantees.ts, and they hold. And the two tours, that of the README and that
 * of the IDE: they work in any order, any number of times.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from '@jest/globals';
import { Kind, OperationTypeNode, parse, print } from 'graphql';
import { EXAMPLES } from '../gateway/ide.js';
import { eventually, startSystem, type System } from './system.js';

const ROOT = join(import.meta.dirname, '..');
const guide = readFileSync(join(ROOT, 'docs/consistency.md'), 'utf8');
const program = readFileSync(join(ROOT, 'demo/guarantees.ts'), 'utf8');
/** What stands between the fences. */
const quoted = (language: string, from = guide) =>
  [...from.matchAll(new RegExp(`^\`\`\`${language}\n(.*?)^\`\`\`$`, 'gms'))].map(([, text]) => text!);
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

/** The sign-ups, the posts and the live example of the README, in a shell that has nothing of the last time. */
async function readmeTour(): Promise<void> {
  const readme = readFileSync(join(ROOT, 'README.md'), 'utf8');
  const section = /^## Talk to it\n(.*?)^## /ms.exec(readme)![1]!;
  // On a busy machine five seconds may be too short. So here the example goes on until it has shown the event.
  const script = quoted('sh', section).join('\n').replaceAll('localhost:4000', new URL(system.url).host);
  const patient = script.replace('-m 5 ', '-m 100 ').replace('for i in 1 2 3;', 'for i in $(seq 100);');
  expect(patient).not.toBe(script);
  const cwd = mkdtempSync(join(folder, 'readme-'));
  const child = spawn('bash', ['-c', patient], { cwd, stdio: ['ignore', 'pipe', 'inherit'], detached: true });
  let output = '';
  child.stdout.on('data', (data) => (output += data));
  const ended = once(child, 'close');
  try {
    await eventually(
      () => output.includes('"cheep":{"message":"Hello live"}'),
      () => `the live event:\n${output}`,
    );
  } finally {
    process.kill(-child.pid!, 'SIGTERM');
    await ended;
  }
  expect(output).not.toMatch(/"errors"|REJECTED|":null/);
  expect(output).toContain('"signUp":{"status":"COMMITTED","author":{"id":"a64a52cc-3ee9-4a15-918b-099e18b43119","username":"bob"}}');
  expect(output).toContain('"followAuthor":{"status":"COMMITTED"}');
}

/** Whatever a browser keeps. */
const cookies = new Map<string, string>();
async function send(query: string, path: string): Promise<{ text: string; stop: () => void }> {
  const cookie = [...cookies].map(([name, value]) => `${name}=${value}`).join('; ');
  const stop = new AbortController();
  const headers = { 'content-type': 'application/json', cookie };
  const response = await fetch(new URL(path, system.url), {
    method: 'POST',
    headers,
    body: JSON.stringify({ query }),
    signal: stop.signal,
  });
  for (const set of response.headers.getSetCookie()) {
    const [, name, value] = /^([^=]+)=([^;]*)/.exec(set)!;
    cookies.set(name!, value!);
  }
  if (!path.endsWith('/stream')) return { text: await response.text(), stop: () => {} };
  let text = '';
  for await (const chunk of response.body!.pipeThrough(new TextDecoderStream())) if ((text += chunk).includes('data: {')) break;

  return { text, stop: () => stop.abort() };
}

const tour = parse(EXAMPLES).definitions.filter((definition) => definition.kind === Kind.OPERATION_DEFINITION);
async function ideTour(operations: typeof tour): Promise<void> {
  for (const operation of operations) {
    const isLive = operation.operation === OperationTypeNode.SUBSCRIPTION;
    const { text, stop } = await send(print(operation), isLive ? '/graphql/stream' : '/graphql');
    expect(text).toContain(isLive ? 'Live"' : '"data":{');
    // All that rules say no to is in lists that are empty, and nothing is missing but what was never filled in.
    const said = text.replaceAll(/"(biography|editedAt|endCursor|name|from|to|inReplyTo|medianSeconds|p90Seconds)":null/g, '');
    expect(`${operation.name!.value}: ${said.replaceAll('"userErrors":[]', '')}`).not.toMatch(/"errors"|userErrors|REJECTED|":null/);
    stop();
  }
}

it('has two tours, of the README and of the IDE, which work in any order, any number of times', async () => {
  await readmeTour();
  // A refusal is remembered under its commandId, so what chooses one must not depend on a step before it.
  await ideTour(tour.filter(({ name }) => name!.value === 'DeleteCheep'));
  await ideTour(tour);
  await ideTour(tour);
  await ideTour(tour.toReversed());
  await readmeTour();
});
