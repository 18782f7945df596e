/**
 * Somebody who posts, and somebody who waits for that as a subscriber, in a process of their own: what an attack costs the one who makes it must not
 * look like what it costs others. Asked for a number of milliseconds, posts again and again for so long, and tells how long each frame
 * took since its post was sent, and what was not right.
 *
 * The arguments: the gateway's URL, the access token of the one who posts, the id of a reader who follows that one.
 */
import { performance } from 'node:perf_hooks';
import { setTimeout as sleep } from 'node:timers/promises';
import { WebSocket } from 'ws';

const FRAME_DEADLINE_MS = 60_000;
const BETWEEN_POSTS_MS = 100;
const QUERY = 'subscription ($id: ID) { timeline(authorId: $id) { __typename ... on CheepAdded { cheep { message } } } }';
const [url = '', accessToken, readerId] = process.argv.slice(2);

const socket = new WebSocket(url.replace(/^http/, 'ws'), 'graphql-transport-ws', { headers: { 'x-forwarded-for': '198.51.100.2' } });
/** @type {Map<string, (at: number) => void>} */
const awaited = new Map();
let wrong = Promise.withResolvers();
/** What is posted before that may not come to this subscription at all. */
const live = Promise.withResolvers();
socket.on('message', (data) => {
  const now = performance.now();
  const { type, payload } = JSON.parse(String(data));
  if (type === 'connection_ack')
    socket.send(JSON.stringify({ id: '1', type: 'subscribe', payload: { query: QUERY, variables: { id: readerId } } }));
  else if (payload?.data?.timeline.cheep) awaited.get(payload.data.timeline.cheep.message)?.(now);
  else if (payload?.data?.timeline.__typename === 'TimelineLive') live.resolve(true);
  else wrong.resolve(String(data));
});
socket.on('close', (code, reason) => wrong.resolve(`closed: ${code} ${reason}`));
socket.once('open', () => socket.send('{"type":"connection_init"}'));

/** @param {string} message @returns {Promise<string | null>} what is wrong with the answer */
async function post(message) {
  const response = await fetch(url, {
    method: 'POST',
    // From this machine, for which there are no rates: it posts more than they allow.
    headers: { 'content-type': 'application/json', authorization: `Bearer ${accessToken}` },
    body: JSON.stringify({
      query: `mutation ($input: PostCheepInput!) { postCheep(input: $input) { status } }`,
      variables: { input: { message } },
    }),
  });
  const text = await response.text();

  return text.includes('"COMMITTED"') ? null : `${response.status} ${text.slice(0, 500)}`;
}

let count = 0;
/** @param {number} forMs */
async function subscribeFor(forMs) {
  /** @type {number[]} */
  const tookMs = [];
  /** @type {string[]} */
  const errors = [];
  const refused = await Promise.race([live.promise, wrong.promise]);
  if (typeof refused === 'string') return { tookMs, errors: [refused] };
  wrong = Promise.withResolvers();
  const until = performance.now() + forMs;
  while (performance.now() < until && errors.length === 0) {
    const message = `The news of the second, number ${++count}`;
    const begun = performance.now();
    const arrived = new Promise((resolve) => awaited.set(message, resolve));
    const late = sleep(FRAME_DEADLINE_MS, 'no frame', { ref: false });
    const posted = post(message).then((error) => error ?? arrived);
    const told = await Promise.race([posted, wrong.promise, late]);
    awaited.delete(message);
    if (typeof told === 'string') errors.push(told);
    else tookMs.push(told - begun);
    await sleep(BETWEEN_POSTS_MS);
  }

  return { tookMs, errors };
}

process.on('message', (forMs) => void subscribeFor(Number(forMs)).then((told) => process.send?.(told)));
