/**
 * What it costs to ask for one's own write: the same query right after a mutation's answer, turn by turn with that answer's token,
 * with an older one, and with none, by one client and by a few at once. The difference is the wait that the token adds.
 */
import { CheeperClient } from '../client/client.js';
import { CheepMessageDocument, PostCheepReceiptDocument } from '../client/operations.js';
import { newId } from '../shared/ids.js';
import { percentile, required, table } from './figures.js';
import { signUp } from './sign-up.js';

const CASES = [
  { clients: 1, rounds: 300 },
  { clients: 8, rounds: 100 },
];
const WARM_UP = 50;
const KINDS = ['no token', 'an older token', 'the token of the write'] as const;

export async function tokenRead(): Promise<void> {
  const url = `${required('CHEEPER_URL')}/graphql`;
  for (const { clients, rounds } of CASES) {
    const tookMs: Record<string, number[]> = Object.fromEntries(KINDS.map((kind) => [kind, []]));
    const waitedMs: Record<string, number[]> = Object.fromEntries(KINDS.map((kind) => [kind, []]));
    let unseen = 0;
    const run = async () => {
      const { client } = await signUp(url);
      const olderToken = client.consistencyToken;
      const reader = new CheeperClient({ url });
      for (let round = -WARM_UP; round < rounds; round++) {
        // Each in another order, so that none is always the first.
        for (const i of [0, 1, 2].map((n) => (n + Math.abs(round)) % 3)) {
          const kind = KINDS[i]!;
          const cheepId = newId();
          await client.request(PostCheepReceiptDocument, { input: { message: 'as fast as it goes', cheepId } });
          reader.consistencyToken = { 'no token': null, 'an older token': olderToken, 'the token of the write': client.consistencyToken }[
            kind
          ];
          const start = performance.now();
          const { data, extensions, errors } = await reader.ask(CheepMessageDocument, { id: cheepId });
          const took = performance.now() - start;
          if (errors.length > 0) throw new Error(errors[0]!.message);
          if (kind === 'the token of the write' && !data?.cheep) throw new Error('a read with the token of a write did not show it');
          if (round < 0) continue;
          tookMs[kind]!.push(took);
          waitedMs[kind]!.push(extensions.consistency!.waitedMs);
          if (kind === 'no token' && !data?.cheep) unseen += 1;
        }
      }
    };
    await Promise.all(Array.from({ length: clients }, run));

    const row = (kind: string): [string, ...number[]] => [
      kind,
      ...[tookMs, waitedMs].flatMap((of) => [percentile(of[kind]!, 0.5), percentile(of[kind]!, 0.99)]),
    ];
    const rows = KINDS.map(row);
    const [floor, , whole] = rows as [[string, ...number[]], unknown, [string, ...number[]]];
    table(
      `A read right after the answer of a write, ${clients === 1 ? 'one client' : `${clients} clients at once`} (milliseconds)`,
      ['p50', 'p99', 'waited p50', 'waited p99'],
      [
        ...rows,
        ['added by the token', whole[1]! - floor[1]!, whole[2]! - floor[2]!],
        ['ratio', whole[1]! / floor[1]!, whole[2]! / floor[2]!],
      ],
    );
    console.log(`Without a token, ${((100 * unseen) / tookMs['no token']!.length).toFixed(0)} % of the reads did not see the write.\n`);
  }
}
