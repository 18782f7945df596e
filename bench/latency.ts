/**
 * Mutation to token-read over HTTP, one client: beside the sum of the bare hops that no such system can do without (two empty
 * HTTP requests, a publish, a commit, a publish, a Redis script, a read), each measured alone, turn by turn in the same run.
 */
import { CheepMessageDocument, PostCheepReceiptDocument } from '../client/operations.js';
import { newId } from '../shared/ids.js';
import { bareHops } from './bare-hops.js';
import { isQuick, percentile, required, table, type Comparison } from './figures.js';
import { signUp } from './sign-up.js';

const ROUNDS = isQuick ? 200 : 1_000;
const WARM_UP = 200;

export async function latency(): Promise<Comparison[]> {
  const hops = await bareHops();
  const { client } = await signUp(`${required('CHEEPER_URL')}/graphql`);
  const mutationMs: number[] = [];
  const mutationToRead = async () => {
    const cheepId = newId();
    const start = performance.now();
    await client.request(PostCheepReceiptDocument, { input: { message: 'as fast as it goes', cheepId } });
    mutationMs.push(performance.now() - start);
    const { cheep } = await client.request(CheepMessageDocument, { id: cheepId });
    if (!cheep) throw new Error('a read with the token of a write did not show it');
  };
  const bare = [
    { name: 'empty HTTP request', times: 2, run: hops.emptyRequest, tookMs: [] as number[] },
    { name: 'publish to JetStream', times: 2, run: hops.publish, tookMs: [] as number[] },
    { name: 'commit (one row)', times: 1, run: hops.commit, tookMs: [] as number[] },
    { name: 'Redis script', times: 1, run: hops.script, tookMs: [] as number[] },
    { name: 'Redis read', times: 1, run: hops.read, tookMs: [] as number[] },
  ];
  const whole = { run: mutationToRead, tookMs: [] as number[] };

  for (let round = -WARM_UP; round < ROUNDS; round++) {
    for (const { run, tookMs } of [...bare, whole]) {
      const start = performance.now();
      await run();
      if (round >= 0) tookMs.push(performance.now() - start);
    }
  }
  await hops.close();

  const both = (tookMs: number[], times = 1): [number, number] => [times * percentile(tookMs, 0.5), times * percentile(tookMs, 0.99)];
  const floors = bare.map(({ tookMs, times }) => both(tookMs, times));
  const floor = [0, 1].map((i) => floors.reduce((sum, figures) => sum + figures[i]!, 0)) as [number, number];
  const figure = both(whole.tookMs);
  table(
    `Mutation to token-read over HTTP, one client, ${ROUNDS} rounds (milliseconds)`,
    ['p50', 'p99'],
    [
      ...bare.map(({ name, times }, i): [string, ...number[]] => [times > 1 ? `  ${name} × ${times}` : `  ${name}`, ...floors[i]!]),
      ['sum of the bare hops', ...floor],
      ['  of which the mutation', ...both(mutationMs.slice(WARM_UP))],
      ['mutation to token-read', ...figure],
      ['ratio', figure[0] / floor[0], figure[1] / floor[1]],
    ],
  );

  return [
    { name: 'mutation to token-read at p50, beside the bare hops', ratio: figure[0] / floor[0], aim: 2, aimIs: 'at most', runs: ROUNDS },
    { name: 'mutation to token-read at p99, beside the bare hops', ratio: figure[1] / floor[1], aim: 3, aimIs: 'at most', runs: ROUNDS },
  ];
}
