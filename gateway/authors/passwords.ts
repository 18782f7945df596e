/** Passwords, at the gateway: hashed here before anything is sent, verified by the write side, which has the hashes. */
import { hash, type Algorithm } from '@node-rs/argon2';
import { RequestError, TimeoutError } from '@nats-io/transport-node';
import type { Nats } from '../../shared/jetstream.js';
import { natsNames } from '../../shared/names.js';
import { z } from 'zod';
import { fault } from '../errors.js';

/** OWASP's recommendation for argon2id (Password Storage Cheat Sheet): 19 MiB, two passes, one lane. */
const ARGON2ID = { algorithm: 2 satisfies Algorithm.Argon2id, memoryCost: 19_456, timeCost: 2, parallelism: 1 };
/** Each takes tens of milliseconds of a core and 19 MiB; more at once would only make all of them late. */
const MOST_AT_ONCE = 64;
/** One of the write sides that may answer can have gone silent a moment ago: then another is asked. */
const TRY_MS = 2_500;
const MOST_TRIES = 2;

/** `error`: it could not look, as MySQL is away, or it has too many to look at. */
const reply = z.union([z.object({ authorId: z.string().nullable() }), z.object({ error: z.string() })]);

export class Passwords {
  private underWay = 0;

  constructor(
    private readonly nats: Nats,
    private readonly namespace: string,
  ) {}

  /** Argon2id, in PHC string format. @throws OVERLOADED */
  hash(password: string): Promise<string> {
    return this.bounded(() => hash(password, ARGON2ID));
  }

  /** Whose name (or e-mail address) and password these are; null for nobody's. @throws OVERLOADED, UNAVAILABLE */
  authenticate(usernameOrEmail: string, password: string): Promise<string | null> {
    return this.ask({ usernameOrEmail: usernameOrEmail.normalize('NFC') }, password);
  }

  /** Is this the password of that author? @throws OVERLOADED, UNAVAILABLE */
  async verify(authorId: string, password: string): Promise<boolean> {
    return (await this.ask({ authorId }, password)) === authorId;
  }

  private ask(who: { usernameOrEmail: string } | { authorId: string }, password: string): Promise<string | null> {
    return this.bounded(async () => {
      const request = JSON.stringify({ ...who, password: password.normalize('NFC') });
      for (let tries = 1; this.nats.isConnected(); tries++) {
        try {
          const message = await this.nats.connection.request(natsNames(this.namespace).authenticate, request, { timeout: TRY_MS });
          const answer = reply.parse(message.json());
          if ('authorId' in answer) return answer.authorId;
          break;
        } catch (error) {
          if (!(error instanceof RequestError || error instanceof TimeoutError)) throw error;
          if (error instanceof RequestError || tries === MOST_TRIES) break;
        }
      }
      throw fault('UNAVAILABLE', 'The write side does not answer, and it alone knows passwords. Try again.');
    });
  }

  private async bounded<T>(work: () => Promise<T>): Promise<T> {
    if (this.underWay >= MOST_AT_ONCE) throw fault('OVERLOADED', 'Too many people are signing in at once. Try again.');
    this.underWay += 1;
    try {
      return await work();
    } finally {
      this.underWay -= 1;
    }
  }
}
