/**
 * A client in a process of its own: what an attack costs the process that makes it must not look like what it costs others. When its parent sends a
 * number of milliseconds, the client sends one request after another for so long, and then sends back how long each took, and which answers were wrong.
 *
 * The arguments: the gateway's URL, the headers and the body of each request (JSON both), and a text that is in every right answer.
 */
import { Agent, request } from 'node:http';
import { performance } from 'node:perf_hooks';
import { setTimeout as sleep } from 'node:timers/promises';

const ANSWER_DEADLINE_MS = 60_000;
const [url = '', headersJson = '{}', body = '', right = ''] = process.argv.slice(2);
const agent = new Agent({ keepAlive: true });
const headers = { 'content-type': 'application/json', ...JSON.parse(headersJson) };

/** @returns {Promise<string | null>} what is wrong with the answer */
const ask = () =>
  new Promise((resolve) => {
    const asked = request(url, { method: 'POST', agent, headers, timeout: ANSWER_DEADLINE_MS }, (response) => {
      let text = '';
      response.setEncoding('utf8');
      response.on('data', (part) => (text += part));
      response.once('error', (error) => resolve(error.message));
      response.once('end', () => {
        const isRight = response.statusCode === 200 && text.includes(right);
        resolve(isRight ? null : `${response.statusCode} ${text.slice(0, 500)}`);
      });
    });
    asked.once('timeout', () => asked.destroy(new Error(`no answer within ${ANSWER_DEADLINE_MS} ms`)));
    asked.once('error', (error) => resolve(error.message));
    asked.end(body);
  });

/** @param {number} forMs */
async function askFor(forMs) {
  /** @type {number[]} */
  const latenciesMs = [];
  /** @type {string[]} */
  const errors = [];
  const until = performance.now() + forMs;
  while (performance.now() < until) {
    const begun = performance.now();
    const wrong = await ask();
    latenciesMs.push(performance.now() - begun);
    if (wrong !== null) errors.push(wrong);
    // People do not read without a break, and a core that is never idle tells nothing about who waits for it.
    await sleep(5);
  }

  return { latenciesMs, errors };
}

process.on('message', (forMs) => void askFor(Number(forMs)).then((told) => process.send?.(told)));
