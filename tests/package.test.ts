/**
 * `cheeper-client` as others get it: packed by npm, unpacked into a folder that has nothing but what its package.json names, compiled
 * against by the strictest settings, and run by the Node that is on the PATH, which may be 20. The programs are those of docs/clients.md.
 */
import { spawn } from 'node:child_process';
import { cpSync, globSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { text } from 'node:stream/consumers';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { compiled } from './relay-compiler.js';
import { startSystem, type System } from './system.js';

const ROOT = join(import.meta.dirname, '..');
const TSC = join(ROOT, 'node_modules/typescript/bin/tsc');
const own = JSON.parse(readFileSync(join(ROOT, 'client/package.json'), 'utf8')) as {
  exports: Record<string, string | { types: string; default: string }>;
  dependencies: Record<string, string>;
  peerDependencies: Record<string, string>;
};
const NEEDED = ['graphql', ...Object.keys(own.dependencies)];
const ALL = [...new Set([...NEEDED, ...Object.keys(own.peerDependencies)])];

/** What stands in the guide, by the name in its first line. */
const guide = readFileSync(join(ROOT, 'docs/clients.md'), 'utf8');
const recipes = new Map(
  [...guide.matchAll(/^```ts\n\/\/ (\w+)\.ts\n(.*?)^```$/gms)].map(([, name, program]) => [name!, program!] as const),
);
/** What a recipe says that it prints. */
const promised = (program: string) => [...program.matchAll(/\/\/ → (.*)$/gm)].flatMap(([, lines]) => lines!.split(', then '));

/** In Node 20 there is no global WebSocket, so a program brings its own. */
const BARE = `
import { CheeperClient } from 'cheeper-client';
import WebSocket from 'ws';
import { signUp } from './session.js';

const { id, client } = await signUp('carol');
Reflect.deleteProperty(globalThis, 'WebSocket');
const live = new CheeperClient({ url: client.url, webSocketImpl: WebSocket, fetch, accessToken: client.accessToken });
const stop = live.run(
  { query: 'subscription ($id: ID!) { author(id: $id) { __typename } }', variables: { id } },
  { next: ({ data }) => (console.log(JSON.stringify(data)), stop()), error: (error) => console.log(error), complete: () => {} },
);
`;

async function run(command: string, args: string[], cwd: string, env: NodeJS.ProcessEnv = {}) {
  const child = spawn(command, args, { cwd, env: { ...process.env, NODE_OPTIONS: '', ...env }, stdio: ['ignore', 'pipe', 'pipe'] });
  const [out, err, code] = await Promise.all([
    text(child.stdout),
    text(child.stderr),
    new Promise<number | null>((resolve, reject) => child.once('close', resolve).once('error', reject)),
  ]);

  return { out, err, code };
}

let folder: string;
let packed: string;
beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'cheeper-package-'));
  // The checkout stays as it is.
  const source = join(folder, 'source');
  mkdirSync(source);
  const whole = ['package.json', 'tsconfig.json', 'README.md', 'LICENSE', 'persisted-documents.json'];
  for (const name of whole) cpSync(join(ROOT, 'client', name), join(source, name));
  for (const name of globSync('*.ts', { cwd: join(ROOT, 'client') })) cpSync(join(ROOT, 'client', name), join(source, name));
  symlinkSync(join(ROOT, 'node_modules'), join(folder, 'node_modules'));
  const { code, out, err } = await run('npm', ['pack', '--offline', '--pack-destination', folder], source, {
    npm_config_loglevel: 'error',
  });
  if (code !== 0) throw new Error(`npm pack: ${out}${err}`);
  const [archive] = globSync('cheeper-client-*.tgz', { cwd: folder });
  const untarred = await run('tar', ['xzf', archive!], folder);
  if (untarred.code !== 0) throw new Error(untarred.err);
  packed = join(folder, 'package');
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

/** A project that has the package, and the others that are named. */
function project(name: string, packages: readonly string[], programs: Iterable<readonly [name: string, program: string]>): string {
  const at = join(mkdtempSync(join(tmpdir(), 'cheeper-consumer-')), name);
  const modules = join(at, 'node_modules');
  cpSync(packed, join(modules, 'cheeper-client'), { recursive: true });
  for (const one of packages) {
    mkdirSync(dirname(join(modules, one)), { recursive: true });
    symlinkSync(join(ROOT, 'node_modules', one), join(modules, one));
  }
  writeFileSync(join(at, 'package.json'), '{ "type": "module" }');
  for (const [name, program] of programs) writeFileSync(join(at, `${name}.ts`), program);

  return at;
}

/** @returns what the compiler says */
async function compile(at: string, options: object): Promise<string[]> {
  const strictest = {
    strict: true,
    exactOptionalPropertyTypes: true,
    noUncheckedIndexedAccess: true,
    noPropertyAccessFromIndexSignature: true,
    verbatimModuleSyntax: true,
    skipLibCheck: false,
    target: 'es2022',
    lib: ['es2022', 'dom', 'dom.iterable', 'dom.asynciterable'],
    types: [],
  };
  writeFileSync(join(at, 'tsconfig.json'), JSON.stringify({ compilerOptions: { ...strictest, ...options }, include: ['*.ts'] }));
  const { out } = await run(process.execPath, [TSC, '-p', '.', '--pretty', 'false'], at);

  return out.split('\n').filter((line) => line.includes('error TS'));
}

describe('the package', () => {
  it('has what its entry points name, its licence, and nothing else', () => {
    const files = globSync('**/*', { cwd: packed }).filter((file) => /\.\w+$|LICENSE/.test(file));
    const modules = globSync('*.ts', { cwd: join(ROOT, 'client') }).map((file) => file.replace('.ts', ''));
    const whole = ['package.json', 'README.md', 'LICENSE', 'persisted-documents.json'];
    const expected = [...whole, ...modules.flatMap((name) => [`dist/${name}.js`, `dist/${name}.d.ts`])];
    expect(files.sort()).toEqual(expected.sort());
    const named = Object.values(own.exports).flatMap((target) => (typeof target === 'string' ? target : Object.values(target)));
    for (const path of named) expect(files).toContain(path.replace('./', ''));
  });

  it('imports only what its package.json names, and nothing of Node’s', () => {
    const imported = globSync('dist/*.{js,d.ts}', { cwd: packed }).flatMap((file) =>
      [...readFileSync(join(packed, file), 'utf8').matchAll(/(?:from |import\(|import )["']([^"']+)["']/g)].map(([, name]) => name!),
    );
    const others = new Set(imported.filter((name) => !name.startsWith('./')));
    expect([...others].sort()).toEqual([...ALL].sort());
  });
});

it('compiles by the strictest settings in a project without the other clients, the types of libraries included', async () => {
  const at = project('bare', NEEDED, [
    ['session', recipes.get('session')!],
    ['alone', recipes.get('alone')!],
  ]);
  expect(await compile(at, { module: 'nodenext', moduleResolution: 'nodenext', noEmit: true })).toEqual([]);
  rmSync(dirname(at), { recursive: true });
});

describe('the recipes of docs/clients.md', () => {
  let system: System;
  let at: string;
  let faults: string[];
  beforeAll(async () => {
    const build = async () => {
      at = project('recipes', [...ALL, 'ws', '@types/ws', '@types/node'], [...recipes, ['bare', BARE]]);
      faults = await compile(at, { module: 'esnext', moduleResolution: 'bundler', types: ['node'] });
    };
    [system] = await Promise.all([startSystem(), build()]);
    writeFileSync(join(at, 'websocket.js'), `import WebSocket from 'ws';\nglobalThis.WebSocket ??= WebSocket;\n`);
    for (const file of globSync('*.js', { cwd: at })) {
      const program = readFileSync(join(at, file), 'utf8').replaceAll('http://localhost:4000/graphql', system.url);
      // As Relay’s Babel plugin does.
      const tag = /graphql `([^`]*)`/g;
      writeFileSync(
        join(at, file),
        file === 'relay.js' ? program.replace(tag, (_, text: string) => JSON.stringify(compiled(text))) : program,
      );
    }
  });
  afterAll(async () => {
    await system?.stop();
    rmSync(dirname(at), { recursive: true, force: true });
  });

  it('compile by the strictest settings', () => {
    expect([...recipes.keys()].sort()).toEqual(['alone', 'apollo', 'plain', 'relay', 'session', 'urql']);
    // The types of Apollo Client and Relay have faults of their own.
    expect(faults.filter((fault) => !fault.startsWith('../') || fault.includes('cheeper-client/'))).toEqual([]);
  });

  it.each([...recipes].filter(([, program]) => promised(program).length > 0))('run, and print what they say: %s', async (name, program) => {
    const { out, err, code } = await run('node', ['--import', './websocket.js', `${name}.js`], at);
    expect({ err, code }).toEqual({ err: '', code: 0 });
    expect(out.trim().split('\n')).toEqual(promised(program));
  });

  it('need no global WebSocket, if they bring one', async () => {
    const { out, err, code } = await run('node', ['bare.js'], at);
    expect({ err, code }).toEqual({ err: '', code: 0 });
    expect(out).toBe('{"author":{"__typename":"AuthorLive"}}\n');
  });
});
