/** Processes of a bench's own: each can be asked over its channel, and ends with the bench. */
import { fork, type ChildProcess } from 'node:child_process';
import { join, resolve } from 'node:path';
import type { Memory } from './probe.js';

const ANSWER_DEADLINE_MS = 60_000;

/** Milliseconds of a clock that all processes of this machine share. */
export const clockMs = () => Number(process.hrtime.bigint()) / 1e6;

export class MeasuredProcess {
  private readonly child: ChildProcess;
  private readonly waiting = new Map<number, (answer: unknown) => void>();
  private readonly gone: Promise<void>;
  private asked = 0;
  private isMeantToStop = false;

  /** @param file from the root of the checkout, or an absolute path */
  constructor(file: string, env: NodeJS.ProcessEnv = {}, flags: string[] = []) {
    this.child = fork(resolve(import.meta.dirname, '..', file), {
      env: { ...process.env, ...env },
      execArgv: [...process.execArgv, '--expose-gc', '--import', join(import.meta.dirname, 'probe.ts'), ...flags],
      stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
    });
    this.child.on('message', ({ id, answer }: { id: number; answer: unknown }) => {
      this.waiting.get(id)?.(answer);
      this.waiting.delete(id);
    });
    this.gone = new Promise((resolve) => {
      this.child.once('exit', (code, signal) => {
        if (!this.isMeantToStop) throw new Error(`${file} has ended (${signal ?? code})`);
        resolve();
      });
    });
  }

  ask<Answer>(ask: string, details: object = {}): Promise<Answer> {
    const id = ++this.asked;
    return new Promise((resolve, reject) => {
      const deadline = setTimeout(() => reject(new Error(`no answer to ${ask} within ${ANSWER_DEADLINE_MS} ms`)), ANSWER_DEADLINE_MS);
      this.waiting.set(id, (answer) => {
        clearTimeout(deadline);
        resolve(answer as Answer);
      });
      this.child.send({ id, ask, ...details });
    });
  }

  memory(): Promise<Memory> {
    return this.ask('memory');
  }

  /** As it is, without a collection. */
  residentBytes(): Promise<number> {
    return this.ask('residentBytes');
  }

  cpuMs(): Promise<number> {
    return this.ask('cpuMs');
  }

  async stop(): Promise<void> {
    this.isMeantToStop = true;
    this.child.kill('SIGTERM');
    await this.gone;
  }
}

/** The other side of `ask`, for processes that do nothing else. */
export function answer(to: Record<string, (details: never) => unknown>): void {
  process.channel?.ref();
  process.on('message', ({ id, ask, ...details }: { id: number; ask: string }) => {
    if (!Object.hasOwn(to, ask)) return;
    void Promise.resolve(to[ask]!(details as never)).then((answer) => process.send!({ id, answer: answer ?? null }));
  });
}
