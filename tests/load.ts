/** A load for tests of faults, and what must be true after it. */
import { expect } from '@jest/globals';
import { CheepDocument, CommandDocument, PostCheepReceiptDocument } from '../client/operations.js';
import { newId } from '../shared/ids.js';
import { eventually, type System } from './system.js';

export type Author = Awaited<ReturnType<System['author']>>;

export interface Sent {
  commandId: string;
  cheepId: string;
  author: number;
  status: string;
  token: string | null;
}

/** Each author posts one cheep after another until told to stop; an answer that was lost is asked for again, with the same command. */
export function load(system: System, authors: Author[]) {
  const urls = system.gateways.map((gateway) => system.urlOf(gateway));
  const sent: Sent[] = [];
  let isOver = false;
  let longestGapMs = 0;
  let lastCommit = performance.now();
  const post = async (author: number) => {
    const client = system.client({ accessToken: authors[author]!.client.accessToken });
    while (!isOver) {
      const [commandId, cheepId] = [newId(), newId()];
      for (let attempt = 0; ; attempt++) {
        client.url = urls[(author + attempt) % urls.length]!;
        const answer = await client
          .ask(PostCheepReceiptDocument, { input: { message: `by ${author}`, commandId, cheepId } })
          .catch(() => null);
        const receipt = answer?.data?.postCheep;
        if (!receipt) continue;
        expect(receipt.userErrors).toEqual([]);
        sent.push({ commandId, cheepId, author, status: receipt.status, token: receipt.consistencyToken ?? null });
        if (receipt.status === 'COMMITTED') {
          longestGapMs = Math.max(longestGapMs, performance.now() - lastCommit);
          lastCommit = performance.now();
        }
        break;
      }
    }
  };
  const done = Promise.all(authors.map((_, author) => post(author)));

  return {
    sent,
    committed: () => sent.filter(({ status }) => status === 'COMMITTED').length,
    longestGapMs: () => longestGapMs,
    stop: async () => {
      isOver = true;
      await done;
    },
  };
}

/** Every command that was sent has had exactly one effect, and all of it can be read. */
export async function expectNothingLost(system: System, authors: Author[], sent: Sent[]) {
  for (const { commandId, author, status } of sent) {
    if (status === 'COMMITTED') continue;
    // Accepted only: it will have an outcome too.
    const { client } = authors[author]!;
    await eventually(
      async () => (await client.request(CommandDocument, { id: commandId })).command,
      `command ${commandId} has an outcome`,
      20_000,
    );
  }
  const rows = await system.sql<{ commandId: string; n: number }>(
    `SELECT JSON_UNQUOTE(JSON_EXTRACT(body, '$.commandId')) AS commandId, COUNT(*) AS n FROM journal WHERE type = 'CheepPosted' GROUP BY commandId`,
  );
  const effects = new Map(rows.map(({ commandId, n }) => [commandId, Number(n)]));
  expect(sent.filter(({ commandId }) => effects.get(commandId) !== 1)).toEqual([]);
  const [journal] = await system.sql<{ n: number; highest: number; head: number }>(
    'SELECT COUNT(*) AS n, MAX(position) AS highest, (SELECT position FROM journal_head) AS head FROM journal',
  );
  expect([Number(journal!.highest), Number(journal!.head)]).toEqual([Number(journal!.n), Number(journal!.n)]);
  const token = sent.findLast((s) => s.token)!.token;
  const reader = system.client({ url: system.urlOf(system.gateways.at(-1)!) });
  const sample = sent.filter((_, i) => i % Math.ceil(sent.length / 50) === 0);
  for (const { cheepId } of sample) {
    reader.consistencyToken = token;
    await eventually(async () => (await reader.ask(CheepDocument, { id: cheepId })).data?.cheep, `cheep ${cheepId} is read`);
  }
}
