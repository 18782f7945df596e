/**
 * Loaded into every process that a bench measures (`--import`), whatever it runs: tells over the channel to its parent what it
 * uses, and ends with its parent.
 */
export interface Memory {
  /** Of the whole process. */
  residentBytes: number;
  /** What is alive after a full collection: on the heap, and outside (buffers). */
  aliveBytes: number;
}

const answers: Record<string, () => unknown> = { memory, cpuMs, residentBytes: () => process.memoryUsage.rss() };

process.on('message', ({ id, ask }: { id: number; ask: string }) => {
  if (Object.hasOwn(answers, ask)) void Promise.resolve(answers[ask]!()).then((answer) => process.send!({ id, answer }));
});
process.on('disconnect', () => process.exit());
// The channel alone does not keep a process alive that is asked to stop.
process.channel?.unref();

async function memory(): Promise<Memory> {
  const collect = globalThis.gc as (options: { type: 'major'; execution: 'sync'; flavor: 'last-resort' }) => void;
  for (let i = 0; i < 3; i++) {
    collect({ type: 'major', execution: 'sync', flavor: 'last-resort' });
    // Finalizers, and what they let go of.
    await new Promise((resolve) => setImmediate(resolve));
  }
  const { rss, heapUsed, external } = process.memoryUsage();

  return { residentBytes: rss, aliveBytes: heapUsed + external };
}

/** Of all threads, since the start. */
function cpuMs(): number {
  const { user, system } = process.cpuUsage();

  return (user + system) / 1_000;
}
