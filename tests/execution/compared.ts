/** Runs `differential.ts`, in a process of its own. */
import { spawn } from 'node:child_process';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import type { Comparison } from './differential.js';

/**
 * @param documents how many, unless EXECUTOR_RUNS says otherwise
 * @throws with all that is needed to look into it, when one of them is executed differently
 */
export async function compared(documents: number): Promise<Comparison> {
  const child = spawn(process.execPath, ['--import', '@swc-node/register/esm-register', join(import.meta.dirname, 'differential.ts')], {
    // Of graphql-js, what production runs.
    env: { EXECUTOR_RUNS: String(documents), ...process.env, NODE_ENV: 'production', NODE_OPTIONS: '' },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const [output, complaints, code] = await Promise.all([
    text(child.stdout),
    text(child.stderr),
    new Promise<number | null>((resolve) => child.once('close', resolve)),
  ]);
  if (code !== 0) throw new Error(`${output}\n${complaints}`);

  return JSON.parse(output.trim().split('\n').at(-1)!) as Comparison;
}
