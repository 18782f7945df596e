/** Mutations of which half are sent twice, under the same id through different gateways, while services are killed. */
import { setTimeout as pause } from 'node:timers/promises';
import { newId } from '../../shared/ids.js';
import type { Random } from '../consistency/random.js';
import type { Viewer } from '../consistency/recorder.js';
import type { Cluster } from './cluster.js';

const AT_ONCE = 64;
const ANSWER_DEADLINE_MS = 8_000;
const INSISTING_MS = 90_000;
const PAUSE_MS = 50;
const LIFE_MS = 1_500;

/** A command, and every answer that its senders had: its outcome and the position of its entry. */
export interface Sent {
  authorId: string;
  commandId: string;
  cheepId: string;
  answers: string[];
}

/** @returns what was sent, when all of it is answered */
export async function sendHalfOfItTwice(cluster: Cluster, mutations: number, random: Random): Promise<{ sent: Sent[]; kills: number }> {
  const viewers = await cluster.authors(16);
  const sent: Sent[] = [];
  let next = 0;
  let kills = 0;
  let isOver = false;
  const sender = async () => {
    for (let n = next++; n < mutations; n = next++) {
      const viewer = viewers[n % viewers.length]!;
      const command = { authorId: viewer.id, commandId: newId(), cheepId: newId(), answers: [] as string[] };
      sent.push(command);
      const senders = n % 2 === 0 ? [0, 1] : [n % 4 === 1 ? 0 : 1];
      await Promise.all(
        senders.map(async (gateway) => {
          command.answers.push(await insist(cluster, viewer, gateway, command));
        }),
      );
    }
  };
  const killer = async () => {
    while (!isOver) {
      const service = random.pick(cluster.services);
      await service.kill();
      kills += 1;
      service.start();
      await service.ready();
      await pause(random.integer(0, LIFE_MS));
    }
  };
  const killing = killer();
  const results = await Promise.allSettled(Array.from({ length: AT_ONCE }, sender));
  isOver = true;
  await killing;
  for (const result of results) if (result.status === 'rejected') throw result.reason;

  return { sent, kills };
}

/** The same command again, each time to the next gateway, until there is an outcome. */
async function insist(cluster: Cluster, { accessToken }: Viewer, gateway: number, { commandId, cheepId }: Sent): Promise<string> {
  const input = { commandId, cheepId, message: `sent as ${commandId}` };
  const query = 'mutation ($input: PostCheepInput!) { postCheep(input: $input) { status userErrors { code } } }';
  const start = performance.now();
  for (let attempt = 0; performance.now() - start < INSISTING_MS; attempt++) {
    if (attempt > 0) await pause(PAUSE_MS);
    const answer = await fetch(cluster.urls[(gateway + attempt) % cluster.urls.length]!, {
      method: 'POST',
      headers: { 'content-type': 'application/json', authorization: `Bearer ${accessToken}` },
      body: JSON.stringify({ query, variables: { input } }),
      signal: AbortSignal.timeout(ANSWER_DEADLINE_MS),
    }).then(
      (response) => response.json() as Promise<Answer>,
      () => null,
    );
    const receipt = answer?.data?.postCheep;
    if (!receipt || receipt.status === 'ACCEPTED') continue;

    return `${receipt.status} ${receipt.userErrors.map(({ code }) => code).join()} at ${answer.extensions?.consistency?.position}`;
  }
  throw new Error(`nobody answered ${commandId} within ${INSISTING_MS} ms`);
}

interface Answer {
  data?: { postCheep?: { status: string; userErrors: { code: string }[] } | null } | null;
  extensions?: { consistency?: { position: string } };
}
