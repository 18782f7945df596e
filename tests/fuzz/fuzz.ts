/**
 * Attacks a gateway, and looks after each round whether anybody else has noticed.
 * - FUZZ_SEED: what a failed run has named, to do the same again
 * - FUZZ_SECONDS: how long, in place of the test's own time
 */
import { readFileSync } from 'node:fs';
import { connect } from 'node:net';
import { expect } from '@jest/globals';
import { FollowAuthorReceiptDocument, PostCheepReceiptDocument, ViewerDocument } from '../../client/operations.js';
import { Random } from '../consistency/random.js';
import { RawSocket } from '../raw-socket.js';
import type { System } from '../system.js';
import { Attacks, type Attack, type Known } from './attacks.js';
import { closeCodeOf } from './frames.js';

const { FUZZ_SEED, FUZZ_SECONDS } = process.env;
const ATTACKS_IN_A_ROUND = 200;
const AT_ONCE = 24;
/** An attack is over when the gateway has answered and then said nothing for so long: most leave the connection open. */
const QUIET_MS = 120;
const MAX_ATTACK_MS = 1_500;
/** Of the gateway's log, when others have noticed something. */
const SHOWN_CHARACTERS = 5_000;
/** Of the gateway's process: it begins with some 150 MiB, and holds 256 MiB for sockets that don't read. */
const MAX_RESIDENT_MIB = 900;

/** What `ws` and graphql-transport-ws close with; 1006 and the like are never sent. */
const CLOSE_CODES: (number | null)[] = [null, 1000, 1001, 1002, 1003, 1005, 1007, 1008, 1009, 4400, 4401, 4403, 4406, 4408, 4409, 4429];

/** @returns how many attacks there were */
export async function fuzz(system: System, ownSeconds: number): Promise<number> {
  const seed = FUZZ_SEED ? Number(FUZZ_SEED) : Math.floor(Math.random() * 0x7fff_ffff);
  const until = performance.now() + 1_000 * (FUZZ_SECONDS ? Number(FUZZ_SECONDS) : ownSeconds);
  const gateway = system.gateways[0]!;
  const innocents = await Innocents.begin(system);
  const attacker = await system.author();
  const known: Known = {
    accessToken: attacker.client.accessToken!,
    ids: [attacker.id, innocents.writerId, new Random(seed, 'id').id()],
    names: [attacker.username],
  };
  let count = 0;
  for (let round = 0; round === 0 || performance.now() < until; round++) {
    const numbers = Array.from({ length: ATTACKS_IN_A_ROUND }, (_, i) => round * ATTACKS_IN_A_ROUND + i);
    count += numbers.length;
    const isNamed = `FUZZ_SEED=${seed}, attacks up to ${count}`;
    const worker = async () => {
      for (let number = numbers.shift(); number !== undefined; number = numbers.shift()) {
        const attack = new Attacks(new Random(seed, `attack ${number}`), known).next();
        const wrong = wrongIn(await send(attack, gateway.port), attack);
        if (wrong) throw new Error(`FUZZ_SEED=${seed}, attack ${number} (${attack.kind}): ${wrong}\n${shown(attack)}`);
      }
    };
    await Promise.all(Array.from({ length: AT_ONCE }, worker));
    await innocents.goOn(isNamed).catch((error: unknown) => {
      throw new Error(`${isNamed}: ${String(error)}. The gateway's log ends with\n${gateway.log(Infinity).slice(-SHOWN_CHARACTERS)}`, {
        cause: error,
      });
    });
    expect({ isNamed, errors: errorsIn(gateway.log(Infinity)) }).toEqual({ isNamed, errors: [] });
    expect(residentMiB(gateway.pid!)).toBeLessThan(MAX_RESIDENT_MIB);
  }
  innocents.end();

  return count;
}

/** Somebody who reads, on one socket from the beginning to the end, and somebody who writes. */
class Innocents {
  private n = 0;

  private constructor(
    readonly writerId: string,
    private readonly writer: Awaited<ReturnType<System['author']>>,
    private readonly socket: RawSocket,
  ) {}

  static async begin(system: System): Promise<Innocents> {
    const [reader, writer] = [await system.author(), await system.author()];
    await reader.client.request(FollowAuthorReceiptDocument, { input: { authorId: writer.id } });
    const socket = await RawSocket.ready(system.url, {
      authorization: `Bearer ${reader.client.accessToken}`,
      'x-cheeper-consistency': reader.client.consistencyToken,
    });
    socket.subscribe('live', 'subscription { timeline { __typename ... on CheepAdded { cheep { message } } } }');
    expect((await socket.result('live')).data).toMatchObject({ timeline: { __typename: 'TimelineLive' } });

    return new Innocents(writer.id, writer, socket);
  }

  async goOn(isNamed: string): Promise<void> {
    const message = `Still here ${this.n++}`;
    const { postCheep } = await this.writer.client.request(PostCheepReceiptDocument, { input: { message } });
    expect({ isNamed, status: postCheep.status }).toEqual({ isNamed, status: 'COMMITTED' });
    expect((await this.socket.result('live')).data).toEqual({ timeline: { __typename: 'CheepAdded', cheep: { message } } });
    expect((await this.writer.client.request(ViewerDocument, {})).viewer?.id).toBe(this.writer.id);
  }

  end(): void {
    this.socket.close();
  }
}

/** @returns what the gateway answered */
function send({ chunks, waitAfter, isReset }: Attack, port: number): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    const socket = connect({ port, host: '127.0.0.1', noDelay: true });
    const received: Buffer[] = [];
    const over = () => {
      clearTimeout(quiet);
      clearTimeout(last);
      socket.destroy();
      resolve(Buffer.concat(received));
    };
    let quiet: NodeJS.Timeout | undefined;
    const last = setTimeout(over, MAX_ATTACK_MS);
    let hasFinished = false;
    let isAnswered = () => undefined as void;
    socket.on('data', (data) => {
      received.push(data);
      if (hasFinished) quiet = quiet?.refresh() ?? setTimeout(over, QUIET_MS);
      if (waitAfter === 0 || data.includes('connection_ack')) isAnswered();
    });
    // To be cut off is an answer too; not to be let in is none.
    socket.on('error', (error: NodeJS.ErrnoException) => (error.code === 'ECONNREFUSED' ? reject(error) : over()));
    socket.once('close', over);
    socket.once('connect', () => {
      for (const chunk of chunks.slice(0, waitAfter)) socket.write(chunk);
      if (waitAfter === 0) finish();
      else isAnswered = finish;
    });
    const finish = () => {
      isAnswered = () => undefined;
      for (const chunk of chunks.slice(waitAfter)) socket.write(chunk);
      if (isReset) setImmediate(() => socket.resetAndDestroy());
      hasFinished = true;
    };
  });
}

/** What must not be in an answer, whatever was asked; null for nothing. */
function wrongIn(answer: Buffer, { kind }: Attack): string | null {
  const text = answer.toString('latin1');
  // What the attack itself says may come back in an answer, so only the form in which the gateway says it counts.
  if (text.includes('"code":"INTERNAL_SERVER_ERROR"')) return text.slice(0, 2_000);
  const status = /^HTTP\/1\.1 (5\d\d)/m.exec(text)?.[1];
  if (status && status !== '503') return text.slice(0, 2_000);
  if (!text.startsWith('HTTP/1.1 101')) return null;
  const code = closeCodeOf(answer.subarray(answer.indexOf('\r\n\r\n') + 4));

  return CLOSE_CODES.includes(code) ? null : `a ${kind} is closed with ${code}`;
}

const errorsIn = (log: string) => log.split('\n').filter((line) => /"level":[56]0/.test(line) || (line !== '' && !line.startsWith('{')));

const residentMiB = (pid: number) => Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))![1]) / 1_024;

const shown = ({ chunks }: Attack) => JSON.stringify(Buffer.concat(chunks).toString('latin1')).slice(0, 6_000);
