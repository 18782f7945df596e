/** Runs the programs beside it, each in a process of its own. */
import { spawn } from 'node:child_process';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import type { Comparison } from './differential.js';

/** @returns the last line of its output, from JSON @throws with all of its output, when it fails */
async function run(program: string, nodeArguments: string[], env: NodeJS.ProcessEnv): Promise<unknown> {
  const file = join(import.meta.dirname, program);
  const child = spawn(process.execPath, [...nodeArguments, '--import', '@swc-node/register/esm-register', file], {
    // Of graphql-js, what production runs.
    env: { ...env, ...process.env, NODE_ENV: 'production', NODE_OPTIONS: '' },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const [output, complaints, code] = await Promise.all([
    text(child.stdout),
    text(child.stderr),
    new Promise<number | null>((resolve) => child.once('close', resolve)),
  ]);
  if (code !== 0) throw new Error(`${output}\n${complaints}`);

  return JSON.parse(output.trim().split('\n').at(-1)!);
}

/**
 * @param documents how many, unless EXECUTOR_RUNS says otherwise
 * @throws with all that is needed to look into it, when one of them is executed differently
 */
export const compared = (documents: number) => run('differential.ts', [], { EXECUTOR_RUNS: String(documents) }) as Promise<Comparison>;

/** How many bytes the plans of very many documents hold, and how many the executor takes them for. */
export const plansHeld = () => run('memory.ts', ['--expose-gc'], {}) as Promise<{ held: number; estimated: number }>;

/** As `plansHeld`, of the documents that are kept parsed. */
export const documentsHeld = () => run('documents-memory.ts', ['--expose-gc'], {}) as Promise<{ held: number; estimated: number }>;
