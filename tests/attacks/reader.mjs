/**
 * Somebody who reads, in a process of their own: what an attack costs the one who makes it must not look like what it costs others. Asked for a number
 * of milliseconds, reads one page after another for so long, and tells how long each took and what was not right.
 *
 * The arguments: the gateway's URL, the access token, the reader's address, the document.
 */
import { Agent, request } from 'node:http';
import { performance } from 'node:perf_hooks';
import { setTimeout as sleep } from 'node:timers/promises';

const ANSWER_DEADLINE_MS = 60_000;
const [url = '', accessToken, address, query] = process.argv.slice(2);
const agent = new Agent({ keepAlive: true });
const body = JSON.stringify({ query });
const headers = {
  'content-type': 'application/json',
  authorization: `Bearer ${accessToken}`,
  'x-forwarded-for': address,
};

/** @returns {Promise<string | null>} what is wrong with the answer */
const read = () =>
  new Promise((resolve) => {
    const asked = request(url, { method: 'POST', agent, headers, timeout: ANSWER_DEADLINE_MS }, (response) => {
      let text = '';
      response.setEncoding('utf8');
      response.on('data', (part) => (text += part));
      response.once('error', (error) => resolve(error.message));
      response.once('end', () => {
        const isRight = response.statusCode === 200 && text.startsWith('{"data":{"timeline":{"edges":[{"cursor":');
        resolve(isRight ? null : `${response.statusCode} ${text.slice(0, 500)}`);
      });
    });
    asked.once('timeout', () => asked.destroy(new Error(`no answer within ${ANSWER_DEADLINE_MS} ms`)));
    asked.once('error', (error) => resolve(error.message));
    asked.end(body);
  });

/** @param {number} forMs */
async function readFor(forMs) {
  /** @type {number[]} */
  const latenciesMs = [];
  /** @type {string[]} */
  const errors = [];
  const until = performance.now() + forMs;
  while (performance.now() < until) {
    const begun = performance.now();
    const wrong = await read();
    latenciesMs.push(performance.now() - begun);
    if (wrong !== null) errors.push(wrong);
    // People do not read without a break, and a core that is never idle tells nothing about who waits for it.
    await sleep(5);
  }

  return { latenciesMs, errors };
}

process.on('message', (forMs) => void readFor(Number(forMs)).then((told) => process.send?.(told)));
