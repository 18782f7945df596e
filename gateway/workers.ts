/**
 * One gateway in several processes, where there are cores for them: a process of Node's has one thread for GraphQL. Each worker
 * opens the port for itself, and the system shares out who comes, so nothing goes through this process. Workers share nothing but the
 * servers behind them: to a client they are any gateways.
 */
import cluster, { type Worker } from 'node:cluster';
import type { Logger } from '../shared/log.js';
import { serveHealth, type Service } from '../shared/service.js';
import { NOT_YET } from './errors.js';

/** Before one that has ended is started again. */
const RESTART_MS = 1_000;

/** What a worker tells the one who started it: what it waits for before it opens the port; nothing, once it has. */
export const tellWaiting = (waitsFor: string[]) => void process.send?.(waitsFor);

/**
 * Starts one, and the others when that has opened the port; starts again who ends. Should the first end before, it has said why, and
 * this process ends with the same code.
 * @throws ConfigError when the port is taken
 */
export async function startWorkers(count: number, { PORT, HOST }: { PORT: number; HOST: string }, log: Logger): Promise<Service> {
  // By somebody who does not share it; with us they would.
  await (await serveHealth({ waitsFor: () => [] }, PORT, { host: HOST })).close();
  let waitsFor = ['its first process'];
  const waiting = await serveHealth({ waitsFor: () => waitsFor }, PORT, { host: HOST, otherwise: NOT_YET, isShared: true });
  const workers = new Set<Worker>();
  let isOpen = false;
  let isStopping = false;

  const begin = () => {
    if (isStopping) return;
    const worker = cluster.fork();
    workers.add(worker);
    worker.on('message', (what: string[]) => {
      if (isOpen) return;
      waitsFor = what;
      if (what.length > 0) return;
      isOpen = true;
      void waiting.close();
      for (let i = 1; i < count; i++) begin();
    });
    const ended = (why: { code: number | null; signal: string | null } | { err: Error }) => {
      // After an error there may be an exit, too.
      if (!workers.delete(worker) || isStopping) return;
      if (!isOpen && 'code' in why && why.code) process.exit(why.code);
      log.error({ worker: worker.process.pid, ...why }, 'a process of the gateway has ended, and is started again');
      setTimeout(begin, RESTART_MS);
    };
    worker.once('exit', (code: number | null, signal: string | null) => ended({ code, signal }));
    // It could not be started.
    worker.on('error', (err) => ended({ err }));
  };
  begin();

  return {
    waitsFor: () => waitsFor,
    stop: async () => {
      isStopping = true;
      const codes = [...workers].map((worker) => new Promise<number | null>((resolve) => worker.once('exit', resolve)));
      for (const worker of workers) worker.process.kill('SIGTERM');
      if (!isOpen) await waiting.close();
      // (One that has only just begun is ended by the signal itself, and has no code.)
      if ((await Promise.all(codes)).some(Boolean)) throw new Error('a process of the gateway did not stop in order');
    },
  };
}
